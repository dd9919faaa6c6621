//! Whether a request may pass by the token that it shows, for a proxy that asks on its behalf, and what the
//! proxy passes on of whoever holds the token.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::{
    app::{
        App, Error,
        caller::Origin,
        error::FieldError,
        verify::{Question, Refused, Verification, Verified},
    },
    domain::{presented_token::PresentedToken, scope::ScopeSet},
};

use super::{auth, current, error::denial::Denial, listener};

/// What a token must be good for.
#[derive(Clone, Debug, Default)]
pub(super) struct Requirement {
    /// All of these scopes.
    pub(super) scopes: ScopeSet,
    /// A token without scopes does not count as having them.
    pub(super) denies_unscoped: bool,
}

/// The scopes that are required: all of those that the texts name, separated by spaces. An empty text is no
/// scope: the variable that should have been there would have been one.
pub(super) fn required<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<ScopeSet, FieldError> {
    let scopes = texts.into_iter().flat_map(|text| text.split(' '));
    ScopeSet::parse(scopes).map_err(|error| FieldError::new("scope", error))
}

/// Whether the request with these header fields may pass, from `client_ip`: by its own bearer token alone.
/// `origin` is that of the request that asks.
///
/// # Errors
/// There is no answer, which must not be taken for one.
pub(super) async fn check(
    app: &App,
    headers: &HeaderMap,
    required: Requirement,
    client_ip: Option<IpAddr>,
    origin: &Origin,
) -> Result<Result<Verified, Denial>, Error> {
    current::note_routine();
    let shown = auth::bearer(headers);
    auth::note_shown(&shown);
    let refused = match shown {
        Err(refusal) => Refused::from(refusal),
        Ok(token) => {
            let question = Question {
                token: PresentedToken::parse(token.expose()),
                required_scopes: required.scopes.clone(),
                denies_unscoped: required.denies_unscoped,
                client_ip,
            };
            let from = Origin {
                ip: client_ip,
                ..origin.clone()
            };
            match app.verify_credential(question, &from).await {
                Ok(Verification::Valid(verified)) => {
                    current::note_token(verified.id(), verified.user().id);
                    listener::note_authenticated();
                    return Ok(Ok(verified));
                }
                Ok(Verification::Invalid(refused)) => {
                    note_holder(app, headers);
                    refused
                }
                Err(error) => {
                    note_holder(app, headers);
                    return Err(error);
                }
            }
        }
    };
    current::note_reason(refused.reason().as_str());
    Ok(Err(Denial::new(refused, &required.scopes)))
}

/// The token is read again: a copy would have to be kept for all that are accepted.
fn note_holder(app: &App, headers: &HeaderMap) {
    if let Ok(token) = auth::bearer(headers) {
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
