//! Authorisation: one table of rules and one function that asks it. An action without a rule is denied.
//!
//! This module does not know which endpoint performs an action: the list of endpoints names the actions of each,
//! and a test checks that every action has an endpoint.

use crate::domain::{id::UserId, scope::OwnScope, user::User};

use super::{caller::Caller, error::Denied};

/// Something that a caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create a token for a user.
    CreateToken,
    /// Read one token.
    GetToken,
    /// List a user's tokens.
    ListTokens,
    /// Delete a token.
    DeleteToken,
    /// Replace a token with a successor.
    RotateToken,
    /// Change a token.
    UpdateToken,
    /// Explain why a token is valid or not.
    ExplainToken,
    /// Revoke leaked tokens and their families.
    RevokeLeaked,
    /// Verify a token by its plaintext.
    VerifyToken,
    /// List or count the tokens of all users.
    ListAllTokens,
    /// Delete many tokens of any users.
    RevokeTokens,
    /// Create a person.
    CreatePerson,
    /// Create a machine user owned by the caller.
    CreateMachine,
    /// Read one user.
    GetUser,
    /// List or count the users that the caller may see.
    ListUsers,
    /// Set a user's description.
    DescribeUser,
    /// Set a user's role.
    SetRole,
    /// Set a machine user's owner.
    SetOwner,
    /// Set a person's password.
    SetPassword,
    /// Deactivate a user.
    DeactivateUser,
    /// Reactivate a user.
    ReactivateUser,
    /// Delete a user.
    DeleteUser,
    /// Read one's own user.
    GetCurrentUser,
    /// Read the audit log.
    ReadAudit,
    /// Check the integrity of the whole database.
    CheckData,
    /// Download a copy of the whole database.
    BackUpData,
    /// Read the policies in force.
    GetServerStatus,
    /// Count the users and tokens.
    GetServerCounts,
}

/// Which users an admin may act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None.
    None,
    /// All machine users.
    Machines,
    /// All users.
    All,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The action that the rule is about.
    pub action: Action,
    /// The scope that a scoped token needs; `None`: it needs none.
    pub scope: Option<OwnScope>,
    /// Whether callers may do it to themselves, or without a target.
    pub oneself: bool,
    /// Whether a person may do it to a machine user that they own.
    pub owner: bool,
    /// Whom an admin may do it to.
    pub admin: Reach,
    /// The action's name in the audit log.
    pub audit: &'static str,
}

const fn rule(action: Action, audit: &'static str) -> Rule {
    Rule {
        action,
        scope: None,
        oneself: false,
        owner: false,
        admin: Reach::None,
        audit,
    }
}

impl Rule {
    const fn scope(self, scope: OwnScope) -> Self {
        Self {
            scope: Some(scope),
            ..self
        }
    }
    const fn oneself(self) -> Self {
        Self {
            oneself: true,
            ..self
        }
    }
    const fn owner(self) -> Self {
        Self {
            owner: true,
            ..self
        }
    }
    const fn admin(self, admin: Reach) -> Self {
        Self { admin, ..self }
    }
}

/// The authorisation table.
#[rustfmt::skip]
pub const RULES: &[Rule] = {
    use {Action as A, OwnScope as S, Reach::{All, Machines}};
    &[
    rule(A::CreateToken, "token.create")
        .scope(S::TokensWrite).oneself().owner().admin(Machines),
    rule(A::GetToken, "token.get")
        .scope(S::TokensRead).oneself().owner().admin(All),
    rule(A::ListTokens, "token.list")
        .scope(S::TokensRead).oneself().owner().admin(All),
    rule(A::DeleteToken, "token.delete")
        .scope(S::TokensWrite).oneself().owner().admin(All),
    rule(A::RotateToken, "token.rotate")
        .scope(S::TokensWrite).oneself().owner().admin(Machines),
    rule(A::UpdateToken, "token.update")
        .scope(S::TokensWrite).oneself().owner().admin(All),
    rule(A::ExplainToken, "token.explain")
        .scope(S::TokensRead).oneself().owner().admin(All),
    rule(A::RevokeLeaked, "token.revoke_leaked")
        .scope(S::TokensWrite).admin(All),
    rule(A::VerifyToken, "token.verify")
        .scope(S::TokensVerify).oneself(),
    rule(A::ListAllTokens, "token.list_all")
        .scope(S::TokensRead).admin(All),
    rule(A::RevokeTokens, "token.revoke")
        .scope(S::TokensWrite).admin(All),
    rule(A::CreatePerson, "user.create")
        .scope(S::UsersWrite).admin(All),
    rule(A::CreateMachine, "user.create")
        .scope(S::UsersWrite).oneself().admin(All),
    rule(A::GetUser, "user.get")
        .scope(S::UsersRead).oneself().owner().admin(All),
    rule(A::ListUsers, "user.list")
        .scope(S::UsersRead).oneself().admin(All),
    rule(A::DescribeUser, "user.describe")
        .scope(S::UsersWrite).oneself().owner().admin(All),
    rule(A::SetRole, "user.set_role")
        .scope(S::UsersWrite).admin(All),
    rule(A::SetOwner, "user.set_owner")
        .scope(S::UsersWrite).admin(All),
    rule(A::SetPassword, "user.set_password")
        .scope(S::UsersWrite).oneself().admin(All),
    rule(A::DeactivateUser, "user.deactivate")
        .scope(S::UsersWrite).owner().admin(All),
    rule(A::ReactivateUser, "user.reactivate")
        .scope(S::UsersWrite).admin(All),
    rule(A::DeleteUser, "user.delete")
        .scope(S::UsersWrite).owner().admin(All),
    rule(A::GetCurrentUser, "user.get_current")
        .oneself(),
    rule(A::ReadAudit, "audit.list")
        .scope(S::AuditRead).admin(All),
    rule(A::CheckData, "data.check")
        .scope(S::Admin).admin(All),
    rule(A::BackUpData, "data.backup")
        .scope(S::Admin).admin(All),
    rule(A::GetServerStatus, "server.get_status")
        .oneself(),
    rule(A::GetServerCounts, "server.get_counts")
        .scope(S::Admin).admin(All),
    ]
};

impl Action {
    /// The action's rule.
    pub fn rule(self) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.action == self)
    }

    /// The action's name in the audit log.
    pub fn audit(self) -> &'static str {
        self.rule().map_or("unknown", |rule| rule.audit)
    }
}

/// How the target of an action is related to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The caller's own user, or no user at all.
    Oneself,
    /// A machine user that the caller owns.
    OwnMachine,
    /// A machine user with another owner.
    OtherMachine,
    /// Another person, or a user that no longer exists.
    OtherPerson,
}

impl Relation {
    /// The relation of `caller` to the user `id`; `user` is `None` if that user no longer exists.
    pub fn to(caller: &Caller, id: UserId, user: Option<&User>) -> Self {
        match (caller.user_id(), user) {
            (Some(own), _) if own == id => Self::Oneself,
            (Some(own), Some(user)) if user.is_machine_of(own) => Self::OwnMachine,
            (_, Some(user)) if user.owner().is_some() => Self::OtherMachine,
            _ => Self::OtherPerson,
        }
    }

    /// Whether the target belongs to somebody else. What an admin does to it is audited, reads included.
    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::OtherMachine | Self::OtherPerson)
    }
}

/// Whether the caller's token allows the action at all, whatever the target.
///
/// # Errors
/// The token is scoped and lacks the scope for this action.
pub fn admit(caller: &Caller, action: Action) -> Result<(), Denied> {
    match action.rule() {
        None => Err(Denied::Role),
        Some(Rule {
            scope: Some(scope), ..
        }) if !caller.allows(*scope) => Err(Denied::Scope(*scope)),
        Some(_) => Ok(()),
    }
}

/// Whether the caller may do `action` to a target with this relation to it.
///
/// # Errors
/// The caller's scopes or role do not allow it.
pub fn may(caller: &Caller, action: Action, relation: Relation) -> Result<(), Denied> {
    admit(caller, action)?;
    let rule = action.rule().ok_or(Denied::Role)?;
    if caller.is_local() {
        // Whoever can write the database may do anything; it goes through here so that it is audited.
        return Ok(());
    }
    let own = match relation {
        Relation::Oneself => rule.oneself,
        // Only a person has machine users of its own: a machine user owns nobody.
        Relation::OwnMachine => rule.owner,
        Relation::OtherMachine | Relation::OtherPerson => false,
    };
    let reach = match rule.admin {
        Reach::None => false,
        Reach::Machines => matches!(relation, Relation::OwnMachine | Relation::OtherMachine),
        Reach::All => true,
    };
    if own || (reach && caller.acts_as_admin()) {
        Ok(())
    } else {
        Err(Denied::Role)
    }
}
