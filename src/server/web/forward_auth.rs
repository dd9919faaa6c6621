//! `/forward-auth` and all paths below it, by any method: a reverse proxy asks whether a request may pass (nginx
//! `auth_request`, Caddy `forward_auth`, Traefik `ForwardAuth`, Envoy `ext_authz` over HTTP).
//!
//! What is verified is the request's own token, which the proxy passes on; tokens in the query are ignored, because
//! queries end up in logs. The query of `/forward-auth` itself holds the requirements; below that path, the query
//! belongs to the request and is ignored.

use axum::{body::Body, response::Response};
use http::{HeaderValue, request::Parts};

use crate::app::{App, Error, error::FieldError, verify::Verified};

use super::{
    super::{
        context::RequestContext,
        endpoints::FORWARD_AUTH,
        error::oauth,
        external_auth::{self, Decision, ParameterSource, Requirement},
    },
    no_store,
};

/// Capacity for these header fields and those that every reply gets.
const ALL_HEADERS: usize = 8;

/// Answers from the head of a request alone, whatever its method.
pub(in crate::server) async fn serve(
    app: &App,
    context: &RequestContext,
    head: &Parts,
) -> Response {
    no_store(check(app, context, head).await)
}

async fn check(app: &App, context: &RequestContext, head: &Parts) -> Response {
    let is_ours = head.uri.path() == FORWARD_AUTH.path;
    let query = head.uri.query().filter(|_| is_ours).unwrap_or_default();
    let required = match parse(query) {
        Ok(required) => required,
        Err(error) => return oauth::refusal(context, error),
    };
    let source = external_auth::RequestSource {
        client_ip: context.client().ip,
        reporter_ip: None,
    };
    let decision = external_auth::check(app, context, &head.headers, &required, source).await;
    let allowed = match decision {
        Ok(Decision::Allowed(verified)) => allowed(&verified),
        Ok(Decision::Denied(denied)) => return denied.into_response(),
        Err(error) => Err(error),
    };
    allowed.unwrap_or_else(|error| oauth::refusal(context, error))
}

fn allowed(verified: &Verified) -> Result<Response, Error> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(ALL_HEADERS);
    for (name, value) in external_auth::headers(verified) {
        // None of our names and scopes is invalid here: otherwise something is wrong, and nothing may pass.
        let value = HeaderValue::try_from(value).map_err(|error| Error::Internal(error.into()))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

const AT: &str = "at";
const PARAMETERS: ParameterSource = ParameterSource {
    field: "query",
    entry: "parameter",
    also: Some(AT),
};

/// Parses the query of a request to `/forward-auth` itself.
///
/// # Errors
/// It is not a valid list of requirements.
fn parse(query: &str) -> Result<Requirement, FieldError> {
    let parameters = form_urlencoded::parse(ours(query).as_bytes());
    if parameters.clone().any(|(name, _)| name == AT) {
        return Err(FieldError::new(AT, "must be written \"at=\""));
    }
    Requirement::read(parameters, PARAMETERS)
}

/// The part before `at=`, which begins the request's own part.
fn ours(query: &str) -> &str {
    if query.starts_with("at=") {
        return "";
    }
    query.split_once("&at=").map_or(query, |(ours, _)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Requirement, String> {
        super::parse(query).map_err(|error| error.to_string())
    }

    fn scopes(query: &str) -> Result<String, String> {
        parse(query).map(|requirement| requirement.scopes.to_string())
    }

    #[test]
    fn all_scopes_are_required_and_an_empty_one_is_an_error() {
        assert_eq!(scopes("").as_deref(), Ok(""));
        let all = scopes("scope=b&scope=a%20c&&%73cope=d+b");
        assert_eq!(all.as_deref(), Ok("a b c d"));
        for bad in ["scope", "scope=", "scope=a&scope=", "scope=a++b", "scope=A"] {
            assert!(scopes(bad).unwrap_err().starts_with("scope: "), "{bad}");
        }
    }

    #[test]
    fn unknown_parameter_is_rejected_with_a_suggestion() {
        for (query, message) in [
            (
                "scopes=a",
                "query: there is no parameter \"scopes\": did you mean \"scope\"?",
            ),
            (
                "Scope=a",
                "query: there is no parameter \"Scope\": did you mean \"scope\"?",
            ),
            (
                "scope=a&required_scope=b",
                "query: there is no parameter \"required_scope\": did you mean \"scope\"?",
            ),
            ("x=/original", "query: there is no parameter \"x\" here"),
            ("=a", "query: there is no parameter \"\" here"),
            (
                "scope=a;scope=b",
                "scope: each scope must be 1 to 64 of a-z, 0-9, ':', '.', '_', '/' and '-'",
            ),
            ("at", "at: must be written \"at=\""),
            (
                "At=/x",
                "query: there is no parameter \"At\": did you mean \"at\"?",
            ),
            ("%61t=/x", "at: must be written \"at=\""),
            ("unscoped=allow", "unscoped: must be \"deny\""),
            ("unscoped", "unscoped: must be \"deny\""),
            ("challenge=Basic", "challenge: must be \"basic\""),
            (
                "credential=authorization",
                "credential: must be \"x-api-key\"",
            ),
            (
                "unscoped=deny&unscoped=deny",
                "unscoped: must not be repeated",
            ),
            (
                "challenge=basic&challenge=",
                "challenge: must not be repeated",
            ),
        ] {
            assert_eq!(parse(query).unwrap_err(), message, "{query}");
        }
    }

    #[test]
    fn everything_after_at_belongs_to_the_request() {
        for query in ["at=/x?scope=A&y=z", "at=", "at=&scope="] {
            assert_eq!(scopes(query).as_deref(), Ok(""), "{query}");
        }
        let before = scopes("scope=a&at=/x?scopes=b&scope=c&at=d");
        assert_eq!(before.as_deref(), Ok("a"));
        assert!(parse("scope=a&bat=/x&scope=b").is_err());
    }

    #[test]
    fn options_are_parsed() {
        let none = parse("scope=a").unwrap();
        assert!(!none.denies_unscoped);
        assert!(!none.challenges_basic && !none.takes_api_key);
        let all = parse("credential=x-api-key&challenge=basic&unscoped=deny").unwrap();
        assert!(all.denies_unscoped);
        assert!(all.challenges_basic && all.takes_api_key);
    }
}
