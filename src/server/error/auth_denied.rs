//! How the holder of a token that is not accepted is told so, where a proxy asks on its behalf.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::{app::verify::Refused, domain::scope::ScopeSet};

use super::{challenge, oauth};

/// A refusal in words of RFC 6750 §3.
#[derive(Debug)]
pub(in crate::server) struct AuthDenied {
    /// 401, or 403 for a scope that is missing.
    pub(in crate::server) status: StatusCode,
    /// The value of `WWW-Authenticate`.
    pub(in crate::server) challenge: String,
    /// The body: a JSON object.
    pub(in crate::server) body: String,
}

impl AuthDenied {
    /// Of a token that should have had the scopes `required`.
    pub(in crate::server) fn new(refused: Refused, required: &ScopeSet) -> Self {
        let (status, challenge, word) = match refused {
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
            body: oauth::text(word, &refused.to_string()),
        }
    }

    /// Whoever has no good token is asked for Basic, and for that alone: a client of container registries takes
    /// Bearer's realm for the address of a token service.
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
