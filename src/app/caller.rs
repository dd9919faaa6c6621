//! The caller of a use case: who, with which credential, from where. No use case can be called without one.

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

use super::{credential_cache::CachedCredential, error::Unauthenticated, passwords::PasswordHash};

/// Where a request came from, and its ids in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Our ID of the request.
    pub request_id: RequestId,
    /// The client's ID of it, if it sent a well-formed one.
    pub client_request_id: Option<String>,
    /// The client's IP address; `None` for a local caller.
    pub ip: Option<IpAddr>,
    /// The client's user agent, with control characters escaped.
    pub user_agent: String,
}

impl ClientInfo {
    /// An audit row for what this request did to `target` at `now`. The caller of this method fills in the actor.
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

/// The credential that the caller presented.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A valid token, whose user exists.
    Token(CachedCredential),
    /// Username and password, with the hash that was stored when the password was checked.
    Password { user: User, hash: PasswordHash },
    /// A process on the database's host, running with this uid.
    Local { uid: u32 },
}

/// A caller whose credential was checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) proof: Proof,
    admin: bool,
    pub(super) client: Arc<ClientInfo>,
}

impl Caller {
    /// A caller with a token whose secret was checked. The admin role of a machine user counts only while its owner
    /// is an active admin.
    pub(super) fn by_token(
        known: CachedCredential,
        now: Timestamp,
        client: impl Into<Arc<ClientInfo>>,
    ) -> Result<Self, Unauthenticated> {
        let client = client.into();
        let credential = &known.credential;
        credential.lineage.check(now, client.ip)?;
        let user = credential.user.as_ref();
        let user = user.ok_or(Unauthenticated::WrongToken)?;
        let counts = user.owner().is_none() || credential.owner_is_active_admin;
        Ok(Self {
            admin: user.role == Role::Admin && counts,
            proof: Proof::Token(known),
            client,
        })
    }

    /// A caller whose password was checked.
    pub(super) fn by_password(
        user: User,
        hash: PasswordHash,
        client: impl Into<Arc<ClientInfo>>,
    ) -> Self {
        Self {
            admin: user.role == Role::Admin,
            proof: Proof::Password { user, hash },
            client: client.into(),
        }
    }

    /// A process on the database's host, running as `uid`.
    pub fn local(uid: u32, client: impl Into<Arc<ClientInfo>>) -> Self {
        Self {
            admin: true,
            proof: Proof::Local { uid },
            client: client.into(),
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

    /// The token that the caller presented.
    pub fn token(&self) -> Option<&Token> {
        match &self.proof {
            Proof::Token(known) => Some(&known.credential.lineage.token),
            Proof::Password { .. } | Proof::Local { .. } => None,
        }
    }

    /// The kind of credential, as the audit log names it.
    pub(super) const fn credential_kind(&self) -> &'static str {
        match self.proof {
            Proof::Token(_) => "token",
            Proof::Password { .. } => "password",
            Proof::Local { .. } => "local",
        }
    }

    /// Whether it is a process on the database's host.
    pub const fn is_local(&self) -> bool {
        matches!(self.proof, Proof::Local { .. })
    }

    /// Where the request came from.
    pub fn client(&self) -> &ClientInfo {
        &self.client
    }

    /// Whether the caller's token and its parent have `scope`; true for callers without a token.
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

    /// Whether the caller may act on the data of other users.
    pub fn acts_as_admin(&self) -> bool {
        self.admin && self.allows(OwnScope::Admin)
    }

    /// The caller's name in the audit log: its user ID, or `local:UID`.
    pub fn actor(&self) -> String {
        match (&self.proof, self.user_id()) {
            (Proof::Local { uid }, _) => format!("local:{uid}"),
            (_, Some(id)) => id.to_string(),
            (_, None) => String::new(),
        }
    }

    /// The audit row for what this caller did to `target` at `now`.
    pub(super) fn event(
        &self,
        now: Timestamp,
        action: &'static str,
        target: impl ToString,
    ) -> AuditEvent {
        AuditEvent {
            actor: self.actor(),
            credential_kind: self.credential_kind(),
            credential_id: self
                .token()
                .map(|token| token.id.to_string())
                .unwrap_or_default(),
            ..self.client.event(now, action, target)
        }
    }
}
