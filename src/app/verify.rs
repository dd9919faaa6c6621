//! Verifies tokens: whose token is this, and is it still valid? Every endpoint that verifies calls this, so they cannot
//! disagree.
//!
//! An invalid token is an reply; an error means that there is no reply. Verifications are not audited.

use std::{net::IpAddr, sync::Arc};

use crate::{
    domain::{
        id::TokenId,
        presented_token::PresentedToken,
        reason::Reason,
        scope::ScopeSet,
        time::Timestamp,
        token::{Invalid, LastUse, Token},
        token_text::TokenTextError,
        user::User,
    },
    store::tokens::Credential,
};

use super::{
    App, Error,
    authz::{self, Action},
    caller::{Caller, ClientInfo},
    error::{FieldError, Unauthenticated},
};

/// A request to verify a token.
#[derive(Clone, Debug)]
pub struct VerifyToken {
    /// The presented token, or why it is malformed.
    pub token: Result<PresentedToken, TokenTextError>,
    /// The scopes that it must have; all of them are required.
    pub required_scopes: ScopeSet,
    /// Refuses an unscoped token, which otherwise covers every scope.
    pub denies_unscoped: bool,
    /// The address that it is used from. If this is absent, a token with allowed CIDRs is invalid.
    pub client_ip: Option<IpAddr>,
    /// The address of the caller that reported `client_ip`, if the server did not see it itself.
    pub reporter_ip: Option<IpAddr>,
}

impl VerifyToken {
    /// Parses the fields of a request.
    ///
    /// # Errors
    /// A scope or the address is malformed.
    pub fn parse<'a>(
        token: Result<PresentedToken, TokenTextError>,
        required_scopes: impl IntoIterator<Item = &'a str>,
        client_ip: &str,
    ) -> Result<Self, FieldError> {
        let (required_scopes, client_ip) = parse_use(required_scopes, client_ip)?;
        Ok(Self {
            token,
            required_scopes,
            denies_unscoped: false,
            client_ip,
            reporter_ip: None,
        })
    }
}

/// Parses the scopes that a use needs, and its address.
pub(super) fn parse_use<'a>(
    required_scopes: impl IntoIterator<Item = &'a str>,
    client_ip: &str,
) -> Result<(ScopeSet, Option<IpAddr>), FieldError> {
    let required_scopes = ScopeSet::parse(required_scopes)
        .map_err(|error| FieldError::new("required_scopes", error))?;
    let client_ip = match client_ip {
        "" => None,
        text => {
            let ip: IpAddr = text
                .parse()
                .map_err(|_| FieldError::new("client_ip", "must be an IP address"))?;
            Some(ip.to_canonical())
        }
    };
    Ok((required_scopes, client_ip))
}

/// The reply to a [`VerifyToken`].
#[derive(Clone, Debug)]
pub enum Verification {
    /// The token is valid.
    Valid(Verified),
    /// The token is not valid.
    Invalid(Refused),
}

/// A valid token and its user.
#[derive(Clone, Debug)]
pub struct Verified {
    credential: Arc<Credential>,
    scopes: ScopeSet,
}

impl Verified {
    /// The token's ID.
    pub fn id(&self) -> TokenId {
        self.credential.lineage.token.id
    }

    /// The effective scopes, which its parent has, too. Empty: not limited.
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// The token's user.
    pub fn user(&self) -> &User {
        let user = self.credential.user.as_ref();
        user.expect("a token is not valid without its user")
    }

    /// The token with its effective scopes, and without its last use.
    pub fn token(&self) -> Token {
        let mut token = self.credential.lineage.token.clone();
        token.scopes = self.scopes.clone();
        // A cached credential is not refreshed for a new last use.
        token.last_use = None;
        token
    }
}

/// Why a token is refused. Anything more than "the credentials are invalid" is only reported if the full secret was
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is malformed, unknown or no longer valid.
    #[error(transparent)]
    Token(#[from] Unauthenticated),
    /// It is valid, but lacks a required scope.
    #[error("the token lacks a scope that is required here")]
    Scope,
}

impl Refused {
    /// Its value of the enum `hallpass.v1.Reason`.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Token(refusal) => refusal.reason(),
            Self::Scope => Reason::ScopeMissing,
        }
    }
}

impl App {
    /// Checks that a caller may verify tokens; such a caller is trusted to report the client's address.
    ///
    /// # Errors
    /// The caller may not verify tokens.
    pub fn may_verify(&self, caller: &Caller) -> Result<(), Error> {
        Ok(authz::may(
            caller,
            Action::VerifyToken,
            authz::Relation::Oneself,
        )?)
    }

    /// Verifies a token for a caller who may. The token may have been pasted from anywhere, so presenting it here is no
    /// sign of reuse. A token that verifies itself cannot report its own address: the observed one counts.
    pub async fn verify_for(
        &self,
        caller: &Caller,
        request: Result<VerifyToken, FieldError>,
    ) -> Result<Verification, Error> {
        self.may_verify(caller)?;
        let mut request = request?;
        let observed = caller.client().ip;
        let presented = request.token.as_ref().ok().map(PresentedToken::id);
        if presented.is_some() && presented == caller.token().map(|token| token.id) {
            request.client_ip = observed;
        } else if request.client_ip.is_some() {
            request.reporter_ip = observed;
        }
        self.verify(request, None).await
    }

    /// Verifies the token that a request from `client` presents as its own credential.
    ///
    /// # Errors
    /// The store failed, or the token is valid but over its rate limit ([`Error::RateLimited`]).
    pub async fn verify_credential(
        &self,
        request: VerifyToken,
        client: &ClientInfo,
    ) -> Result<Verification, Error> {
        self.verify(request, Some(client)).await
    }

    /// Verifies a token, with `client` if it is the request's own credential.
    async fn verify(
        &self,
        request: VerifyToken,
        client: Option<&ClientInfo>,
    ) -> Result<Verification, Error> {
        let (result, reply) = match self.check(&request, client).await {
            Ok(verified) => ("valid", Ok(Verification::Valid(verified))),
            Err(NotVerified::Refused(refused)) => {
                let result = refused.reason().as_str();
                (result, Ok(Verification::Invalid(refused)))
            }
            Err(NotVerified::Failed(error)) => (error.result(), Err(error)),
        };
        self.metrics().verification(result);
        reply
    }

    async fn check(
        &self,
        request: &VerifyToken,
        client: Option<&ClientInfo>,
    ) -> Result<Verified, NotVerified> {
        let presented = request.token.map_err(Unauthenticated::from);
        let presented = presented.map_err(Refused::from)?;
        let credential = self.find_credential(presented).await?.credential;
        let now = self.now();
        if let Some(client) = client {
            self.watch_reuse(&credential.lineage.token, client, request.client_ip)
                .await;
        }
        let verified = check(credential, request, now)?;
        self.admit_request(presented.id(), now)?;
        let last_use = LastUse {
            time: now,
            ip: request.client_ip,
            reporter_ip: request.reporter_ip,
        };
        self.0.shared.last_uses.note(presented.id(), last_use);
        Ok(verified)
    }
}

/// Why no token was verified: an reply, or a failure.
enum NotVerified {
    Refused(Refused),
    Failed(Error),
}

impl From<Refused> for NotVerified {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for NotVerified {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated(refusal) => Self::Refused(refusal.into()),
            error => Self::Failed(error),
        }
    }
}

/// Whether a token whose secret was right meets the request.
fn check(
    credential: Arc<Credential>,
    request: &VerifyToken,
    now: Timestamp,
) -> Result<Verified, Refused> {
    let Credential { lineage, user, .. } = &*credential;
    let invalid = |invalid: Invalid| Refused::Token(invalid.into());
    lineage.check(now, request.client_ip).map_err(invalid)?;
    if request.client_ip.is_none() && lineage.is_bound_to_networks() {
        return Err(invalid(Invalid::Address));
    }
    if user.is_none() {
        return Err(invalid(Invalid::UserDeactivated));
    }
    let scopes = lineage.scopes().ok_or(Refused::Scope)?;
    let is_unscoped = scopes.is_empty();
    if (is_unscoped && request.denies_unscoped) || !request.required_scopes.is_covered_by(&scopes) {
        return Err(Refused::Scope);
    }
    Ok(Verified { credential, scopes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(scopes: &[&str]) -> ScopeSet {
        ScopeSet::parse(scopes.iter().copied()).unwrap()
    }

    #[test]
    fn malformed_scopes_and_addresses_are_refused() {
        let request = |scopes: &[&str], ip| {
            VerifyToken::parse(PresentedToken::parse(""), scopes.iter().copied(), ip)
                .map_err(|error| error.field)
        };
        assert_eq!(request(&["Deploy"], "").unwrap_err(), "required_scopes");
        assert_eq!(request(&[], "localhost").unwrap_err(), "client_ip");
        let mapped = request(&["deploy"], "::ffff:10.0.0.1").unwrap();
        assert_eq!(mapped.client_ip, Some([10, 0, 0, 1].into()));
        assert_eq!(mapped.required_scopes, set(&["deploy"]));
    }
}
