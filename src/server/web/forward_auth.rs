//! `/forward-auth` and all below it, by any method: a reverse proxy asks whether a request may pass (nginx
//! `auth_request`, Caddy `forward_auth`, Traefik `ForwardAuth`, Envoy `ext_authz` over HTTP).
//!
//! What is checked is the request's own bearer token, which the proxy hands on: never a cookie, which any page
//! could make a browser send, and nothing from the query, which logs keep. All scopes of all `?scope=`
//! parameters are required together. An empty one is refused, for the variable that should have been there
//! would have been a requirement; other parameters may be the request's own and are not looked at.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{HeaderValue, request::Parts};

use crate::{
    app::{App, Error, caller::Origin, error::FieldError, verify::Verified},
    domain::scope::ScopeSet,
};

use super::{
    super::{edge::OnBehalf, endpoints::FORWARD_AUTH, error::oauth, identity},
    never_stored,
};

/// Room for so many header fields, with those that every reply gets.
const ALL_HEADERS: usize = 8;

/// The way there.
pub(in crate::server) fn on_behalf(app: App) -> OnBehalf {
    OnBehalf {
        top: FORWARD_AUTH.path,
        handler: Arc::new(move |head| {
            let app = app.clone();
            Box::pin(async move { never_stored(check(&app, &head).await) })
        }),
    }
}

async fn check(app: &App, head: &Parts) -> Response {
    let required = match required(head.uri.query().unwrap_or_default()) {
        Ok(required) => required,
        Err(error) => return oauth::refusal(error.into()),
    };
    let origin: Option<&Origin> = head.extensions.get();
    let ip = origin.and_then(|origin| origin.ip);
    match identity::check(app, &head.headers, required, ip).await {
        Ok(Ok(verified)) => allowed(&verified),
        Ok(Err(denial)) => denial.into_response(),
        Err(error) => oauth::refusal(error),
    }
}

fn required(query: &str) -> Result<ScopeSet, FieldError> {
    let parameters = form_urlencoded::parse(query.as_bytes());
    let values = parameters.filter(|(name, _)| name == "scope");
    let values: Vec<_> = values.map(|(_, value)| value).collect();
    identity::required(values.iter().map(|value| &**value))
}

fn allowed(verified: &Verified) -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(ALL_HEADERS);
    for (name, value) in identity::headers(verified) {
        match HeaderValue::try_from(value) {
            Ok(value) => {
                response.headers_mut().insert(name, value);
            }
            // A name or scope that none of ours could be: nothing may pass under it.
            Err(error) => return oauth::refusal(Error::Internal(Box::new(error))),
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scopes_are_required_and_an_empty_one_is_none() {
        let read = |query| required(query).map(|scopes| scopes.to_string()).ok();
        assert_eq!(read("").as_deref(), Some(""));
        assert_eq!(read("a=scope&Scope=x").as_deref(), Some(""));
        let all = read("scope=b&x=1&scope=a%20c&scope=d+b");
        assert_eq!(all.as_deref(), Some("a b c d"));
        for bad in ["scope", "scope=", "scope=a&scope=", "scope=a++b", "scope=A"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
