//! Whether a request may pass by the token that it shows, for a proxy that asks on its behalf, and what the
//! proxy passes on of whoever holds the token.

mod requirement;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::{
    app::{
        App, Error,
        caller::Origin,
        verify::{Question, Refused, Verification, Verified},
    },
    domain::presented_token::PresentedToken,
};

use super::{auth, current, error::auth_denied::AuthDenied, listener};
pub(super) use requirement::{API_KEY, ParameterSource, Requirement};

/// Where a request comes from that is to pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestSource {
    /// The client's address; `None`: not known.
    pub(super) client_ip: Option<IpAddr>,
    /// Who says so, where we have not seen it ourselves.
    pub(super) reporter_ip: Option<IpAddr>,
}

/// Whether the request with these header fields may pass: by its own token alone. `origin` is that of the request
/// that asks.
///
/// # Errors
/// There is no answer, which must not be taken for one.
pub(super) async fn check(
    app: &App,
    headers: &HeaderMap,
    required: Requirement,
    source: RequestSource,
    origin: &Origin,
) -> Result<Result<Verified, AuthDenied>, Error> {
    current::note_routine();
    let presented = required.presented_token(headers);
    auth::note_token_presented(&presented);
    let refused = match presented {
        Err(refusal) => Refused::from(refusal),
        Ok(token) => {
            let question = Question {
                token: PresentedToken::parse(token.expose()),
                required_scopes: required.scopes.clone(),
                denies_unscoped: required.denies_unscoped,
                client_ip: source.client_ip,
                reporter_ip: source.reporter_ip,
            };
            match app.verify_credential(question, origin).await {
                Ok(Verification::Valid(verified)) => {
                    current::note_token(verified.id(), verified.user().id);
                    listener::note_authenticated();
                    return Ok(Ok(verified));
                }
                Ok(Verification::Invalid(refused)) => {
                    note_holder(app, headers, &required);
                    refused
                }
                Err(error) => {
                    note_holder(app, headers, &required);
                    return Err(error);
                }
            }
        }
    };
    current::note_reason(refused.reason().as_str());
    let denied = AuthDenied::new(refused, &required.scopes);
    Ok(Err(if required.challenges_basic {
        denied.asking_for_basic()
    } else {
        denied
    }))
}

/// The token is read again: a copy would have to be kept for all that are accepted.
fn note_holder(app: &App, headers: &HeaderMap, required: &Requirement) {
    if let Ok(token) = required.presented_token(headers) {
        auth::note_holder(app, &token);
    }
}

const USER: HeaderName = HeaderName::from_static("x-auth-user");
const USER_ID: HeaderName = HeaderName::from_static("x-auth-user-id");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-auth-token-id");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");

/// All of them always, an empty one too: a proxy that copies them into the request overwrites whatever a client
/// wrote there itself.
pub(super) fn headers(verified: &Verified) -> [(HeaderName, String); 4] {
    let user = verified.user();
    [
        (USER, user.username.as_str().to_owned()),
        (USER_ID, user.id.encode().as_str().to_owned()),
        (TOKEN_ID, verified.id().encode().as_str().to_owned()),
        // Empty: not limited.
        (SCOPES, verified.scopes().to_string()),
    ]
}
