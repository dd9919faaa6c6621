//! Who created a token and with which credential, according to the audit log.

use crate::{
    domain::{
        audit::AuditRow,
        id::UserId,
        time::Timestamp,
        user::{User, Username},
    },
    store,
};

use super::{super::authz::Action, Error};

/// Who created a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCreation {
    /// When the token was created.
    pub time: Timestamp,
    /// A user ID, or `local:UID` for a process on the database's host.
    pub actor: String,
    /// The actor's username, if the user still exists.
    pub username: Option<Username>,
    /// The credential that the actor used.
    pub credential: CredentialKind,
    /// Whether it was created by rotation.
    pub rotated: bool,
}

/// What the creator of a token authenticated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A username and its password.
    Password,
    /// The token with this ID.
    Token(String),
    /// None: a process on the database's host.
    Local,
}

impl TokenCreation {
    pub(super) fn from_row(
        row: AuditRow,
        find_user: impl FnOnce(UserId) -> Result<Option<User>, store::Error>,
    ) -> Result<Self, Error> {
        let credential = if !row.credential_id.is_empty() {
            CredentialKind::Token(row.credential_id)
        } else if row.actor.starts_with("local:") {
            CredentialKind::Local
        } else {
            CredentialKind::Password
        };
        let user = match UserId::parse(&row.actor) {
            Some(id) => find_user(id)?,
            None => None,
        };
        Ok(Self {
            time: row.time,
            rotated: row.action == Action::RotateToken.audit(),
            username: user.map(|user| user.username),
            actor: row.actor,
            credential,
        })
    }
}
