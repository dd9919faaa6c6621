//! Verifies tokens: whose token is this, and is it still valid? Every surface that verifies asks here, so they cannot
//! disagree.
//!
//! An invalid token is an answer; an error means that there is no answer. Verifications are not audited.

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
    caller::{Caller, Origin},
    error::{FieldError, Unauthenticated},
};

/// A request to verify a token.
#[derive(Clone, Debug)]
pub struct Question {
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

impl Question {
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

/// The answer to a [`Question`].
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

/// Why a token is refused. Anything more than "the credentials are invalid" is only told if the full secret was right.
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
        question: Result<Question, FieldError>,
    ) -> Result<Verification, Error> {
        self.may_verify(caller)?;
        let mut question = question?;
        let observed = caller.origin().ip;
        let asked = question.token.as_ref().ok().map(PresentedToken::id);
        if asked.is_some() && asked == caller.token().map(|token| token.id) {
            question.client_ip = observed;
        } else if question.client_ip.is_some() {
            question.reporter_ip = observed;
        }
        self.verify(question, None).await
    }

    /// Verifies the token that a request from `origin` presents as its own credential.
    ///
    /// # Errors
    /// The store failed, or the token is valid but over its rate limit ([`Error::RateLimited`]).
    pub async fn verify_credential(
        &self,
        question: Question,
        origin: &Origin,
    ) -> Result<Verification, Error> {
        self.verify(question, Some(origin)).await
    }

    /// Verifies a token, with `origin` if it is the request's own credential.
    async fn verify(
        &self,
        question: Question,
        origin: Option<&Origin>,
    ) -> Result<Verification, Error> {
        let (result, answer) = match self.judge(&question, origin).await {
            Ok(verified) => ("valid", Ok(Verification::Valid(verified))),
            Err(Judgement::Refused(refused)) => {
                let result = refused.reason().as_str();
                (result, Ok(Verification::Invalid(refused)))
            }
            Err(Judgement::Failed(error)) => (error.result(), Err(error)),
        };
        self.metrics().verification(result);
        answer
    }

    async fn judge(
        &self,
        question: &Question,
        origin: Option<&Origin>,
    ) -> Result<Verified, Judgement> {
        let presented = question.token.map_err(Unauthenticated::from);
        let presented = presented.map_err(Refused::from)?;
        let credential = self.find_credential(presented).await?.credential;
        let now = self.now();
        if let Some(origin) = origin {
            self.watch_reuse(&credential.lineage.token, origin, question.client_ip)
                .await;
        }
        let verified = judge(credential, question, now)?;
        self.admit_request(presented.id(), now)?;
        let last_use = LastUse {
            time: now,
            ip: question.client_ip,
            reporter_ip: question.reporter_ip,
        };
        self.0.usage.note(presented.id(), last_use);
        Ok(verified)
    }
}

/// Why no token was verified: an answer, or a failure.
enum Judgement {
    Refused(Refused),
    Failed(Error),
}

impl From<Refused> for Judgement {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for Judgement {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated(refusal) => Self::Refused(refusal.into()),
            error => Self::Failed(error),
        }
    }
}

/// Whether a token whose secret was right meets the request.
fn judge(
    credential: Arc<Credential>,
    question: &Question,
    now: Timestamp,
) -> Result<Verified, Refused> {
    let Credential { lineage, user, .. } = &*credential;
    let invalid = |invalid: Invalid| Refused::Token(invalid.into());
    lineage.check(now, question.client_ip).map_err(invalid)?;
    if question.client_ip.is_none() && lineage.is_bound_to_networks() {
        return Err(invalid(Invalid::Address));
    }
    if user.is_none() {
        return Err(invalid(Invalid::UserDeactivated));
    }
    let scopes = lineage.scopes().ok_or(Refused::Scope)?;
    let is_unscoped = scopes.is_empty();
    if (is_unscoped && question.denies_unscoped) || !question.required_scopes.is_covered_by(&scopes)
    {
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
        let question = |scopes: &[&str], ip| {
            Question::parse(PresentedToken::parse(""), scopes.iter().copied(), ip)
                .map_err(|error| error.field)
        };
        assert_eq!(question(&["Deploy"], "").unwrap_err(), "required_scopes");
        assert_eq!(question(&[], "localhost").unwrap_err(), "client_ip");
        let mapped = question(&["deploy"], "::ffff:10.0.0.1").unwrap();
        assert_eq!(mapped.client_ip, Some([10, 0, 0, 1].into()));
        assert_eq!(mapped.required_scopes, set(&["deploy"]));
    }
}
