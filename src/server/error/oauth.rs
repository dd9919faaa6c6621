//! Errors outside of the RPC protocols: the JSON object of RFC 6749 §5.2. The table in [`super`] decides the code;
//! this only translates it to OAuth's error codes.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use connectrpc_axum::Code;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{super::context::RequestContext, ApiError, challenge};

/// How a client authenticated or tried to, which decides the challenge it gets (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Scheme {
    Bearer,
    Basic,
    /// In the form, with an unknown scheme, or not at all: it may choose.
    Any,
}

impl Scheme {
    /// The scheme of the Authorization header.
    pub(in crate::server) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(header::AUTHORIZATION);
        let scheme = value.and_then(|value| value.as_bytes().split(|byte| *byte == b' ').next());
        match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer") => Self::Bearer,
            Some(scheme) if scheme.eq_ignore_ascii_case(b"basic") => Self::Basic,
            _ => Self::Any,
        }
    }
}

/// The error response to an OAuth client that used `scheme`. A client without permission gets the status of an
/// unauthenticated one (RFC 7662 §2.3).
pub(in crate::server) fn refusal_of(
    context: &RequestContext,
    error: impl Into<ApiError>,
    scheme: Scheme,
) -> Response {
    let error = error.into();
    let may_not = error.code() == Code::PermissionDenied;
    if !may_not && error.code() != Code::Unauthenticated {
        return refusal(context, error);
    }
    let code = match scheme {
        Scheme::Bearer if may_not => "insufficient_scope",
        _ => "invalid_client",
    };
    note_reason(context, &error);
    let mut response = error_response(StatusCode::UNAUTHORIZED, code, error.message());
    let headers = response.headers_mut();
    if scheme != Scheme::Basic {
        let plain = HeaderValue::from_static(challenge::BEARER);
        let bearer = error.header(&header::WWW_AUTHENTICATE).cloned();
        headers.append(header::WWW_AUTHENTICATE, bearer.unwrap_or(plain));
    }
    if scheme != Scheme::Bearer {
        let basic = HeaderValue::from_static(challenge::BASIC);
        headers.append(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// The error response where no client authenticates.
pub(in crate::server) fn refusal(context: &RequestContext, error: impl Into<ApiError>) -> Response {
    let error = error.into();
    note_reason(context, &error);
    let (status, code) = status_and_code(error.code());
    let mut response = error_response(status, code, error.message());
    error.add_headers(response.headers_mut());
    response
}

fn note_reason(context: &RequestContext, error: &ApiError) {
    if let Some(reason) = error.reason() {
        context.note_reason(reason);
    }
}

/// Internal errors are always 503, so that they cannot be mistaken for an answer.
fn status_and_code(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "invalid_request"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "insufficient_scope"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "server_error"),
    }
}

/// A response with the JSON object.
pub(in crate::server) fn error_response(
    status: StatusCode,
    code: &str,
    description: &str,
) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, Body::from(error_json(code, description))).into_response()
}

/// The JSON object.
pub(in crate::server) fn error_json(code: &str, description: &str) -> String {
    json!({ "error": code, "error_description": description }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app;
    use crate::app::error::{Denied, FieldError, Unauthenticated};
    use crate::domain::scope::OwnScope;

    fn challenges(response: &Response) -> Vec<&str> {
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges = challenges.iter().map(|value| value.to_str().unwrap());
        challenges.map(|text| &text[..5]).collect()
    }

    #[test]
    fn rejected_client_is_challenged_with_the_scheme_it_tried() {
        let errors: [fn() -> app::Error; 3] = [
            || Unauthenticated::Missing.into(),
            || Denied::Scope(OwnScope::TokensVerify).into(),
            || Denied::Role.into(),
        ];
        for error in errors {
            for (scheme, asked) in [
                (Scheme::Bearer, &["Beare"][..]),
                (Scheme::Basic, &["Basic"]),
                (Scheme::Any, &["Beare", "Basic"]),
            ] {
                let response = refusal_of(&RequestContext::of_nobody(), error(), scheme);
                assert_eq!(response.status(), 401);
                assert_eq!(challenges(&response), asked);
            }
        }
    }

    #[test]
    fn other_errors_have_oauths_status_and_no_challenge() {
        for (error, status) in [
            (FieldError::new("token", "is required").into(), 400),
            (app::Error::Internal("x".into()), 503),
            (app::Error::Busy, 429),
        ] {
            let response = refusal_of(&RequestContext::of_nobody(), error, Scheme::Any);
            assert_eq!(
                (response.status().as_u16(), &*challenges(&response)),
                (status, &[][..])
            );
        }
    }

    #[test]
    fn scheme_is_case_insensitive() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            Scheme::of(&headers)
        };
        assert_eq!([of("bearer"), of("BEARER x")], [Scheme::Bearer; 2]);
        assert_eq!(of("basic x"), Scheme::Basic);
        assert_eq!([of("Digest x"), of("Basically"), of("")], [Scheme::Any; 3]);
    }
}
