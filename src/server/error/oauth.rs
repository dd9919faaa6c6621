//! Errors where no protocol of calls is spoken: the JSON object of RFC 6749 §5.2. Which error it is, is
//! decided by the one table above; here it only gets OAuth's words.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use connectrpc_axum::{Code, ConnectError};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{app, domain::reason::Reason};

use super::{super::current, challenge};

/// How a client showed who it is, or tried to: by that it is asked again (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Scheme {
    /// By `Authorization: Bearer`.
    Bearer,
    /// By `Authorization: Basic`.
    Basic,
    /// In the form, by a scheme that we do not know, or not at all: whichever it likes.
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

/// What someone is told who asks an endpoint of OAuth as a client, by `scheme`. A client that may not ask is told so
/// by the status of one that is not known (RFC 7662 §2.3).
pub(in crate::server) fn refusal_of(error: app::Error, scheme: Scheme) -> Response {
    let (may_not, reason) = (matches!(error, app::Error::Denied(_)), error.reason());
    let error = ConnectError::from(error);
    if !may_not && error.code() != Code::Unauthenticated {
        return told(reason, &error);
    }
    let word = match scheme {
        Scheme::Bearer if may_not => "insufficient_scope",
        _ => "invalid_client",
    };
    current::note_reason(reason.as_str());
    let description = error.message().unwrap_or_default();
    let mut response = object(StatusCode::UNAUTHORIZED, word, description);
    let headers = response.headers_mut();
    if scheme != Scheme::Basic {
        let bearer = error
            .meta()
            .and_then(|meta| meta.get(header::WWW_AUTHENTICATE));
        let plain = HeaderValue::from_static(challenge::BEARER);
        headers.append(header::WWW_AUTHENTICATE, bearer.cloned().unwrap_or(plain));
    }
    if scheme != Scheme::Bearer {
        let basic = HeaderValue::from_static(challenge::BASIC);
        headers.append(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// What is told where there is no client.
pub(in crate::server) fn refusal(error: app::Error) -> Response {
    told(error.reason(), &ConnectError::from(error))
}

fn told(reason: Reason, error: &ConnectError) -> Response {
    current::note_reason(reason.as_str());
    let (status, word) = words(error.code());
    let mut response = object(status, word, error.message().unwrap_or_default());
    let headers = response.headers_mut();
    headers.extend(error.meta().cloned().unwrap_or_default());
    response
}

/// Our own failure is 503 whatever it was: it must not look like an answer.
fn words(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "invalid_request"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "insufficient_scope"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "server_error"),
    }
}

/// The object, with this status.
pub(in crate::server) fn object(status: StatusCode, word: &str, description: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, Body::from(text(word, description))).into_response()
}

/// The object's text.
pub(in crate::server) fn text(word: &str, description: &str) -> String {
    json!({ "error": word, "error_description": description }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::error::{Denied, FieldError, Unauthenticated};
    use crate::domain::scope::OwnScope;

    fn challenges(response: &Response) -> Vec<&str> {
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges = challenges.iter().map(|value| value.to_str().unwrap());
        challenges.map(|text| &text[..5]).collect()
    }

    #[test]
    fn client_that_is_not_known_or_may_not_is_asked_by_the_scheme_it_tried() {
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
                let response = refusal_of(error(), scheme);
                assert_eq!(response.status(), 401);
                assert_eq!(challenges(&response), asked);
            }
        }
    }

    #[test]
    fn other_refusals_have_oauths_status_and_no_challenge() {
        for (error, status) in [
            (FieldError::new("token", "is required").into(), 400),
            (app::Error::Internal("x".into()), 503),
            (app::Error::Busy, 429),
        ] {
            let response = refusal_of(error, Scheme::Any);
            assert_eq!(
                (response.status().as_u16(), &*challenges(&response)),
                (status, &[][..])
            );
        }
    }

    #[test]
    fn scheme_is_the_first_word_in_any_case() {
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
