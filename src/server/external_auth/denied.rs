//! The response of forward-auth to the holder of a rejected token.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::{
    app::verify::Refused,
    domain::scope::ScopeSet,
    server::error::{challenge, oauth},
};

/// A rejection in the terms of RFC 6750 §3.
#[derive(Debug)]
pub(in crate::server) struct AuthDenied {
    /// 401, or 403 for a missing scope.
    pub(in crate::server) status: StatusCode,
    /// The value of `WWW-Authenticate`.
    pub(in crate::server) challenge: String,
    /// A JSON object.
    pub(in crate::server) body: String,
}

impl AuthDenied {
    /// Rejects a token that needs the scopes `required`.
    pub(in crate::server) fn new(refused: Refused, required: &ScopeSet) -> Self {
        let (status, challenge, code) = match refused {
            Refused::Token(refusal) => (
                StatusCode::UNAUTHORIZED,
                challenge::unauthenticated(refusal),
                "invalid_token",
            ),
            Refused::Scope => (
                StatusCode::FORBIDDEN,
                challenge::insufficient_scope(required),
                "insufficient_scope",
            ),
        };
        Self {
            status,
            challenge,
            body: oauth::error_json(code, &refused.to_string()),
        }
    }

    /// Asks for Basic, and for nothing else, unless the token was good: clients of container registries take the
    /// realm of Bearer for the URL of a token service.
    pub(in crate::server) fn asking_for_basic(mut self) -> Self {
        if self.status == StatusCode::UNAUTHORIZED {
            challenge::BASIC.clone_into(&mut self.challenge);
        }
        self
    }

    pub(in crate::server) fn into_response(self) -> Response {
        let mut response = Response::new(self.body.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let challenge = HeaderValue::try_from(self.challenge);
        let challenge = challenge.expect("scopes and descriptions are ASCII");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}
