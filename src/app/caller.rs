//! Who calls, with what, from where. A use case cannot be called without one.

use std::net::IpAddr;

use crate::{
    domain::{
        audit::AuditEvent,
        id::{RequestId, TokenId, UserId},
        scope::{OwnScope, ScopeSet},
        time::Timestamp,
        token::Token,
        user::{Role, User},
    },
    store::{Tx, tokens, users},
};

use super::{Error, error::Unauthenticated};

/// Where a request came from, and what it is called in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Our name for the request.
    pub request_id: RequestId,
    /// The client's name for it, of the form that we accept.
    pub client_request_id: Option<String>,
    /// The client's address; `None` on the command line.
    pub ip: Option<IpAddr>,
    /// The client's user agent, escaped.
    pub user_agent: String,
}

/// What the caller showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A valid token.
    Token {
        /// The token.
        token: Box<Token>,
        /// The scopes of its parent, which limit it too; empty where there is no parent.
        parent_scopes: ScopeSet,
    },
    /// Username and password.
    Password,
    /// A shell on the machine that the database is on.
    Local {
        /// The operating system's number for the user.
        uid: u32,
    },
}

/// A caller whose credential was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    user: Option<User>,
    admin: bool,
    credential: Credential,
    origin: Origin,
}

impl Caller {
    /// By a valid token. A machine's admin role counts only while its owner is an active admin.
    pub(super) fn by_token(
        token: Token,
        parent_scopes: ScopeSet,
        user: User,
        owner_is_active_admin: bool,
        origin: Origin,
    ) -> Self {
        let admin = user.role == Role::Admin && (user.owner().is_none() || owner_is_active_admin);
        let credential = Credential::Token {
            token: Box::new(token),
            parent_scopes,
        };
        Self {
            user: Some(user),
            admin,
            credential,
            origin,
        }
    }

    /// By a right password.
    pub(super) fn by_password(user: User, origin: Origin) -> Self {
        let admin = user.role == Role::Admin;
        Self {
            user: Some(user),
            admin,
            credential: Credential::Password,
            origin,
        }
    }

    /// The command line, run by the operating system's user `uid`.
    pub fn local(uid: u32, now: Timestamp) -> Self {
        let origin = Origin {
            request_id: RequestId::generate(now),
            client_request_id: None,
            ip: None,
            user_agent: concat!("hallpass/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        Self {
            user: None,
            admin: true,
            credential: Credential::Local { uid },
            origin,
        }
    }

    /// The caller's user; `None` on the command line.
    pub const fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The ID of the caller's user; `None` on the command line.
    pub fn user_id(&self) -> Option<UserId> {
        self.user.as_ref().map(|user| user.id)
    }

    /// The token that the caller showed.
    pub fn token(&self) -> Option<&Token> {
        match &self.credential {
            Credential::Token { token, .. } => Some(token),
            Credential::Password | Credential::Local { .. } => None,
        }
    }

    /// Whether it is the command line.
    pub const fn is_local(&self) -> bool {
        matches!(self.credential, Credential::Local { .. })
    }

    /// Where the request came from.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the caller's token, where it has one, may do what needs `scope`.
    pub fn allows(&self, scope: OwnScope) -> bool {
        match &self.credential {
            Credential::Token {
                token,
                parent_scopes,
            } => token.scopes.allows(scope) && parent_scopes.allows(scope),
            Credential::Password | Credential::Local { .. } => true,
        }
    }

    /// Whether the caller may act on what is not its own.
    pub fn acts_as_admin(&self) -> bool {
        self.admin && self.allows(OwnScope::Admin)
    }

    /// The caller as it is in `tx`: a write decides by what is true when it happens, not by what was true
    /// when the request came in.
    ///
    /// # Errors
    /// The credential is no longer valid, or the store failed.
    pub(super) fn refresh(&self, tx: &Tx<'_>, now: Timestamp) -> Result<Self, Error> {
        match &self.credential {
            Credential::Local { .. } => Ok(self.clone()),
            Credential::Password => {
                let id = self.user_id().ok_or(Unauthenticated::WrongPassword)?;
                let user = users::find(tx, id)?.filter(|user| !user.deactivated);
                let user = user.ok_or(Unauthenticated::WrongPassword)?;
                Ok(Self::by_password(user, self.origin.clone()))
            }
            Credential::Token { token, .. } => Self::find(tx, token.id, now, self.origin.clone()),
        }
    }

    /// The caller that the token `id`, whose secret was checked, stands for.
    fn find(tx: &Tx<'_>, id: TokenId, now: Timestamp, origin: Origin) -> Result<Self, Error> {
        let credential = tokens::find_credential(tx, id)?.ok_or(Unauthenticated::WrongToken)?;
        Self::from_credential(credential, now, origin).map_err(Error::from)
    }

    /// The caller that a stored credential, whose secret was checked, stands for.
    pub(super) fn from_credential(
        credential: tokens::Credential,
        now: Timestamp,
        origin: Origin,
    ) -> Result<Self, Unauthenticated> {
        credential.lineage.check(now, origin.ip)?;
        let parent = credential.lineage.parent.and_then(|parent| parent.token);
        let parent_scopes = parent.map(|token| token.scopes).unwrap_or_default();
        let user = credential.user.ok_or(Unauthenticated::WrongToken)?;
        let token = credential.lineage.token;
        Ok(Self::by_token(
            token,
            parent_scopes,
            user,
            credential.owner_is_active_admin,
            origin,
        ))
    }

    /// The audit row for what this caller did to `target` at `now`.
    pub(super) fn event(
        &self,
        now: Timestamp,
        action: &'static str,
        target: impl ToString,
    ) -> AuditEvent {
        let actor = match (&self.credential, &self.user) {
            (Credential::Local { uid }, _) => format!("local:{uid}"),
            (_, Some(user)) => user.id.to_string(),
            (_, None) => String::new(),
        };
        AuditEvent {
            time: now,
            actor,
            credential_id: self
                .token()
                .map(|token| token.id.to_string())
                .unwrap_or_default(),
            target: target.to_string(),
            action,
            outcome: "ok",
            count: 1,
            request_id: self.origin.request_id.to_string(),
            client_request_id: self.origin.client_request_id.clone().unwrap_or_default(),
            ip: self
                .origin
                .ip
                .map(|ip| ip.to_canonical().to_string())
                .unwrap_or_default(),
            user_agent: self.origin.user_agent.clone(),
        }
    }
}
