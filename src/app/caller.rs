//! Who calls, with what, from where. A use case cannot be called without one.

mod permit;

pub(super) use permit::{CallerInTx, Permit};

use std::{net::IpAddr, sync::Arc};

use crate::domain::{
    audit::AuditEvent,
    audit_action::ACTIONS,
    id::{RequestId, UserId},
    scope::OwnScope,
    time::Timestamp,
    token::Token,
    user::{Role, User},
};

use super::{credential::Known, error::Unauthenticated, passwords::PasswordHash};

/// Where a request came from, and what it is called in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Our name for the request.
    pub request_id: RequestId,
    /// The client's name for it, of the form that we accept.
    pub client_request_id: Option<String>,
    /// The client's address; `None` of a local caller.
    pub ip: Option<IpAddr>,
    /// The client's user agent, escaped.
    pub user_agent: String,
}

impl Origin {
    /// An audit row for what a request from here did to `target` at `now`, whose actor is still to be named.
    pub(super) fn event(
        &self,
        now: Timestamp,
        action: &'static str,
        target: impl ToString,
    ) -> AuditEvent {
        debug_assert!(ACTIONS.contains(&action), "{action} is in no list");
        AuditEvent {
            time: now,
            actor: String::new(),
            credential_kind: "",
            credential_id: String::new(),
            target: target.to_string(),
            successor_id: String::new(),
            action,
            outcome: "ok",
            count: 1,
            request_id: self.request_id.to_string(),
            client_request_id: self.client_request_id.clone().unwrap_or_default(),
            ip: self
                .ip
                .map(|ip| ip.to_canonical().to_string())
                .unwrap_or_default(),
            user_agent: self.user_agent.clone(),
        }
    }
}

/// What the caller showed.
#[derive(Clone, Debug)]
enum Proof {
    /// A valid token, whose user is there.
    Token(Known),
    /// Username and password, which has this hash.
    Password { user: User, hash: PasswordHash },
    /// A shell on the machine that the database is on, as the operating system's user of this number.
    Local { uid: u32 },
}

/// A caller whose credential was checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    proof: Proof,
    admin: bool,
    origin: Arc<Origin>,
}

impl Caller {
    /// The caller that a stored credential, whose secret was checked, stands for. A machine's admin role
    /// counts only while its owner is an active admin.
    pub(super) fn by_token(
        known: Known,
        now: Timestamp,
        origin: impl Into<Arc<Origin>>,
    ) -> Result<Self, Unauthenticated> {
        let origin = origin.into();
        let credential = &known.credential;
        credential.lineage.check(now, origin.ip)?;
        let user = credential.user.as_ref();
        let user = user.ok_or(Unauthenticated::WrongToken)?;
        let counts = user.owner().is_none() || credential.owner_is_active_admin;
        Ok(Self {
            admin: user.role == Role::Admin && counts,
            proof: Proof::Token(known),
            origin,
        })
    }

    /// By a right password.
    pub(super) fn by_password(
        user: User,
        hash: PasswordHash,
        origin: impl Into<Arc<Origin>>,
    ) -> Self {
        Self {
            admin: user.role == Role::Admin,
            proof: Proof::Password { user, hash },
            origin: origin.into(),
        }
    }

    /// A process on the machine that the database is on, which runs as the operating system's user `uid`.
    pub fn local(uid: u32, origin: impl Into<Arc<Origin>>) -> Self {
        Self {
            admin: true,
            proof: Proof::Local { uid },
            origin: origin.into(),
        }
    }

    /// The caller's user; a local caller has none.
    pub fn user(&self) -> Option<&User> {
        match &self.proof {
            Proof::Token(known) => known.credential.user.as_ref(),
            Proof::Password { user, .. } => Some(user),
            Proof::Local { .. } => None,
        }
    }

    /// The ID of the caller's user; a local caller has none.
    pub fn user_id(&self) -> Option<UserId> {
        self.user().map(|user| user.id)
    }

    /// The token that the caller showed.
    pub fn token(&self) -> Option<&Token> {
        match &self.proof {
            Proof::Token(known) => Some(&known.credential.lineage.token),
            Proof::Password { .. } | Proof::Local { .. } => None,
        }
    }

    /// What it showed, as the audit log names it.
    pub(super) const fn credential_kind(&self) -> &'static str {
        match self.proof {
            Proof::Token(_) => "token",
            Proof::Password { .. } => "password",
            Proof::Local { .. } => "local",
        }
    }

    /// Whether it is a process on the machine that the database is on.
    pub const fn is_local(&self) -> bool {
        matches!(self.proof, Proof::Local { .. })
    }

    /// Where the request came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the caller's token, where it has one, may do what needs `scope`.
    pub fn allows(&self, scope: OwnScope) -> bool {
        let Proof::Token(known) = &self.proof else {
            return true;
        };
        let credential = &known.credential;
        let parent = credential.lineage.parent.as_ref();
        let mut parent = parent.and_then(|parent| parent.token.as_ref()).into_iter();
        let token = &credential.lineage.token;
        token.scopes.allows(scope) && parent.all(|parent| parent.scopes.allows(scope))
    }

    /// Whether the caller may act on what is not its own.
    pub fn acts_as_admin(&self) -> bool {
        self.admin && self.allows(OwnScope::Admin)
    }

    /// What the audit log calls it: its user's ID, or `local:UID`.
    pub fn actor(&self) -> String {
        match (&self.proof, self.user_id()) {
            (Proof::Local { uid }, _) => format!("local:{uid}"),
            (_, Some(id)) => id.to_string(),
            (_, None) => String::new(),
        }
    }

    /// The audit row for what this caller did to `target` at `now`.
    fn event(&self, now: Timestamp, action: &'static str, target: impl ToString) -> AuditEvent {
        AuditEvent {
            actor: self.actor(),
            credential_kind: self.credential_kind(),
            credential_id: self
                .token()
                .map(|token| token.id.to_string())
                .unwrap_or_default(),
            ..self.origin.event(now, action, target)
        }
    }
}
