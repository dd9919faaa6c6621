//! `/forward-auth` and all paths below it, by any method: a reverse proxy asks whether a request may pass (nginx
//! `auth_request`, Caddy `forward_auth`, Traefik `ForwardAuth`, Envoy `ext_authz` over HTTP).
//!
//! What is verified is the request's own token, which the proxy passes on; tokens in the query are ignored, because
//! queries end up in logs. The query of `/forward-auth` itself holds the requirements; below that path, the query
//! belongs to the request and is ignored.

mod parameters;

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{HeaderValue, request::Parts};

use crate::app::{App, Error, caller::Origin, verify::Verified};

use super::{
    super::{edge::ExternalAuth, endpoints::FORWARD_AUTH, error::oauth, identity},
    no_store,
};

/// Capacity for these header fields and those that every reply gets.
const ALL_HEADERS: usize = 8;

/// The endpoint.
pub(in crate::server) fn external_auth(app: App) -> ExternalAuth {
    ExternalAuth {
        prefix: FORWARD_AUTH.path,
        handler: Arc::new(move |head| {
            let app = app.clone();
            Box::pin(async move { no_store(check(&app, &head).await) })
        }),
    }
}

async fn check(app: &App, head: &Parts) -> Response {
    let is_ours = head.uri.path() == FORWARD_AUTH.path;
    let query = head.uri.query().filter(|_| is_ours).unwrap_or_default();
    let required = match parameters::parse(query) {
        Ok(required) => required,
        Err(error) => return oauth::refusal(error.into()),
    };
    let Some(origin) = head.extensions.get::<Origin>() else {
        return oauth::refusal(Error::Internal("a request came without its origin".into()));
    };
    let source = identity::RequestSource {
        client_ip: origin.ip,
        reporter_ip: None,
    };
    match identity::check(app, &head.headers, required, source, origin).await {
        Ok(Ok(verified)) => allowed(&verified),
        Ok(Err(denied)) => denied.into_response(),
        Err(error) => oauth::refusal(error),
    }
}

fn allowed(verified: &Verified) -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(ALL_HEADERS);
    for (name, value) in identity::headers(verified) {
        match HeaderValue::try_from(value) {
            Ok(value) => {
                response.headers_mut().insert(name, value);
            }
            // None of our names and scopes is invalid here: something is wrong, so nothing may pass.
            Err(error) => return oauth::refusal(Error::Internal(Box::new(error))),
        }
    }
    response
}
