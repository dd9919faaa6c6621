//! Errors where no protocol of calls is spoken: the JSON object of RFC 6749 §5.2. Which error it is, is
//! decided by the one table above; here it only gets OAuth's words.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use connectrpc_axum::{Code, ConnectError};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::app;

use super::{super::current, challenge};

/// What a client of the OAuth endpoints is told.
pub(in crate::server) fn refusal(error: app::Error) -> Response {
    current::note_reason(error.reason().as_str());
    let error = ConnectError::from(error);
    let (status, word) = words(error.code());
    let mut response = object(status, word, error.message().unwrap_or_default());
    let headers = response.headers_mut();
    headers.extend(error.meta().cloned().unwrap_or_default());
    if status == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static(challenge::BASIC);
        headers.append(header::WWW_AUTHENTICATE, basic);
    }
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

    #[test]
    fn refusals_have_oauths_status_and_challenges() {
        let told = |error: app::Error| {
            let response = refusal(error);
            let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
            (response.status().as_u16(), challenges.iter().count())
        };
        assert_eq!(
            told(FieldError::new("token", "is required").into()),
            (400, 0)
        );
        assert_eq!(told(Unauthenticated::Missing.into()), (401, 2));
        assert_eq!(told(Denied::Scope(OwnScope::TokensVerify).into()), (403, 1));
        assert_eq!(told(app::Error::Internal("x".into())), (503, 0));
        assert_eq!(told(app::Error::Busy), (429, 0));
    }
}
