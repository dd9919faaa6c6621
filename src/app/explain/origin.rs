//! Who made a token and with what, as its row in the audit log has it.

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

/// Who made a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOrigin {
    /// When.
    pub time: Timestamp,
    /// A user ID, or `local:UID` for a process on the server's machine.
    pub actor: String,
    /// What the actor is called, where it is a user that is still there.
    pub username: Option<Username>,
    /// With what the actor had signed in.
    pub credential: CredentialKind,
    /// Whether it was made by rotation.
    pub rotated: bool,
}

/// What somebody signs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A username and its password.
    Password,
    /// The token of this ID.
    Token(String),
    /// A shell on the machine that the database is on.
    Local,
}

impl TokenOrigin {
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
