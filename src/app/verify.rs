//! Whose token is this, and is it still good? Every surface that verifies asks here, so none can know better.
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

/// What is asked about a token.
#[derive(Clone, Debug)]
pub struct Question {
    /// The token that was presented, or why it is none.
    pub token: Result<PresentedToken, TokenTextError>,
    /// The scopes that it must have, all of them.
    pub required_scopes: ScopeSet,
    /// Whether a token without scopes, which has them all, is refused.
    pub denies_unscoped: bool,
    /// From where it is used. Without an address, a token that is bound to networks is not valid.
    pub client_ip: Option<IpAddr>,
    /// The address of whoever says so, where the server has not seen it itself.
    pub reporter_ip: Option<IpAddr>,
}

impl Question {
    /// From the fields of a request.
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

/// What a token is used for, and from where, from the fields of a request.
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

/// The answer.
#[derive(Clone, Debug)]
pub enum Verification {
    /// The token is valid.
    Valid(Verified),
    /// It is not.
    Invalid(Refused),
}

/// A valid token, and whose it is.
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

    /// The scopes in force: those that its parent has, too. Empty: it is not limited.
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Whose it is.
    pub fn user(&self) -> &User {
        let user = self.credential.user.as_ref();
        user.expect("a token is not valid without its user")
    }

    /// The token with the scopes in force. Its last use is not told.
    pub fn token(&self) -> Token {
        let mut token = self.credential.lineage.token.clone();
        token.scopes = self.scopes.clone();
        // What is kept of it in memory does not hear of last uses.
        token.last_use = None;
        token
    }
}

/// Why a token is not valid. More than "the credentials are invalid" is only said where the full secret was
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token, none of ours, or not valid any more.
    #[error(transparent)]
    Token(#[from] Unauthenticated),
    /// It is valid, but has not all the scopes that are required.
    #[error("the token lacks a scope that is required here")]
    Scope,
}

impl Refused {
    /// The word of `hallpass.v1.Reason` for it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Token(refusal) => refusal.reason(),
            Self::Scope => Reason::ScopeMissing,
        }
    }
}

impl App {
    /// Whether a caller may ask about tokens, and is then believed in where they are used from.
    ///
    /// # Errors
    /// It may not.
    pub fn may_verify(&self, caller: &Caller) -> Result<(), Error> {
        Ok(authz::may(
            caller,
            Action::VerifyToken,
            authz::Relation::Oneself,
        )?)
    }

    /// Verifies a token for a caller who may ask. It may have been pasted by anyone, so that it is no sign of
    /// anything that it is presented here. Nobody vouches for itself: a token that asks about itself is used from
    /// where it asks.
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

    /// Verifies the very token that a request from `origin` presents as its own credential.
    ///
    /// # Errors
    /// There is no answer: the store failed, or the token is valid, but used too often
    /// ([`Error::RateLimited`]).
    pub async fn verify_credential(
        &self,
        question: Question,
        origin: &Origin,
    ) -> Result<Verification, Error> {
        self.verify(question, Some(origin)).await
    }

    /// The same, where `origin` is that of a request whose own credential the token is.
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

/// Why there is no verified token.
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

/// Whether a token, whose secret was right, answers the question.
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
    fn fields_are_checked() {
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
