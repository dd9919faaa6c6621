//! Forward-auth: whether a request may pass by the token that it carries, and the identity headers that the proxy
//! passes on.

mod denied;
mod requirement;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::{
    app::{
        App, Error,
        error::Unauthenticated,
        verify::{Refused, Verification, Verified, VerifyToken},
    },
    domain::presented_token::PresentedToken,
};

use super::{authenticate, context::RequestContext, listener};
pub(super) use denied::AuthDenied;
pub(super) use requirement::{API_KEY, ParameterSource, Requirement};

/// Where the request that wants to pass comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestSource {
    /// The client's address, if known.
    pub(super) client_ip: Option<IpAddr>,
    /// Who reported that address, unless we see it ourselves.
    pub(super) reporter_ip: Option<IpAddr>,
}

/// Whether a request may pass.
#[derive(Debug)]
pub(super) enum Decision {
    /// Its token is valid.
    Allowed(Verified),
    /// It has none, or one that is not sufficient.
    Denied(AuthDenied),
}

/// Checks whether the request with these header fields may pass, by its own token alone. `context` is that of the
/// request that asks.
///
/// # Errors
/// The check failed; this must not be taken for a decision.
pub(super) async fn check(
    app: &App,
    context: &RequestContext,
    headers: &HeaderMap,
    required: &Requirement,
    source: RequestSource,
) -> Result<Decision, Error> {
    let presented = required.presented_token(headers);
    if !matches!(presented, Err(Unauthenticated::Missing)) {
        context.note_credential("token");
    }
    let refused = match presented {
        Err(refusal) => Refused::from(refusal),
        Ok(token) => {
            let question = VerifyToken {
                token: PresentedToken::parse(token.expose()),
                required_scopes: required.scopes.clone(),
                denies_unscoped: required.denies_unscoped,
                client_ip: source.client_ip,
                reporter_ip: source.reporter_ip,
            };
            match app.verify_credential(question, context.client()).await {
                Ok(Verification::Valid(verified)) => {
                    context.note_token(verified.id(), verified.user().id);
                    listener::note_authenticated();
                    return Ok(Decision::Allowed(verified));
                }
                Ok(Verification::Invalid(refused)) => {
                    authenticate::note_holder(app, context, &token);
                    refused
                }
                Err(error) => {
                    authenticate::note_holder(app, context, &token);
                    return Err(error);
                }
            }
        }
    };
    context.note_reason(refused.reason());
    let denied = AuthDenied::new(refused, &required.scopes);
    Ok(Decision::Denied(if required.challenges_basic {
        denied.asking_for_basic()
    } else {
        denied
    }))
}

const USER: HeaderName = HeaderName::from_static("x-auth-user");
const USER_ID: HeaderName = HeaderName::from_static("x-auth-user-id");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-auth-token-id");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");

/// All of these are always present, even if empty, so that a proxy that copies them overwrites whatever the client
/// sent under the same names.
pub(super) fn headers(verified: &Verified) -> [(HeaderName, String); 4] {
    let user = verified.user();
    [
        (USER, user.username.as_str().to_owned()),
        (USER_ID, user.id.encode().as_str().to_owned()),
        (TOKEN_ID, verified.id().encode().as_str().to_owned()),
        // Empty: not limited to any.
        (SCOPES, verified.scopes().to_string()),
    ]
}
