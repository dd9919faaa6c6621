//! Who may do what: one table, one question. What has no line here is denied.
//!
//! Where an action is asked for is not known here: the list of endpoints names the actions of each, and a test
//! sees that no action is without an endpoint. What a line says of `oneself`, `owner` and `admin` is DESIGN's
//! table of users.

use crate::domain::{id::UserId, scope::OwnScope, user::User};

use super::{caller::Caller, error::Denied};

/// Something that a caller does.
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
    /// Put a successor in a token's place.
    RotateToken,
    /// Change a token.
    UpdateToken,
    /// Be told all about a token.
    ExplainToken,
    /// Revoke tokens that were found where they should not be, with their families.
    RevokeLeaked,
    /// Ask about a token whose plaintext one has.
    VerifyToken,
    /// List or count the tokens of all users.
    ListAllTokens,
    /// Delete many tokens of whatever users.
    RevokeTokens,
    /// Create a person.
    CreatePerson,
    /// Create a machine owned by the caller.
    CreateMachine,
    /// Read one user.
    GetUser,
    /// List or count the users that the caller may see.
    ListUsers,
    /// Set a user's description.
    DescribeUser,
    /// Set a user's role.
    SetRole,
    /// Set a machine's owner.
    SetOwner,
    /// Set a person's password.
    SetPassword,
    /// Deactivate a user.
    DeactivateUser,
    /// Reactivate a user.
    ReactivateUser,
    /// Delete a user.
    DeleteUser,
    /// Be told who one is.
    GetCurrentUser,
    /// Read the audit log.
    ReadAudit,
    /// Look through the whole database for damage.
    CheckData,
    /// Be told the policies in force.
    GetServerStatus,
    /// Be told how many users and tokens there are.
    GetServerCounts,
}

/// What a role may act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing.
    None,
    /// All machines.
    Machines,
    /// All users.
    All,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is done.
    pub action: Action,
    /// The scope that a scoped token needs for it; `None`: any token may.
    pub scope: Option<OwnScope>,
    /// Whether the caller may do it to itself, or where there is no target.
    pub oneself: bool,
    /// Whether a person may do it to a machine of its own.
    pub owner: bool,
    /// What an admin may do it to.
    pub admin: Reach,
    /// What it is called in the audit log.
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

/// The table.
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
        .scope(S::UsersWrite).oneself(),
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
    rule(A::GetServerStatus, "server.get_status")
        .oneself(),
    rule(A::GetServerCounts, "server.get_counts")
        .scope(S::Admin).admin(All),
    ]
};

impl Action {
    /// Its line in the table.
    pub fn rule(self) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.action == self)
    }

    /// What it is called in the audit log.
    pub fn audit(self) -> &'static str {
        self.rule().map_or("unknown", |rule| rule.audit)
    }
}

/// What the target of an action is to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The caller's own user, or no user at all.
    Oneself,
    /// A machine that the caller owns.
    OwnMachine,
    /// A machine that another owns.
    OtherMachine,
    /// Another person, or a user that is no more.
    OtherPerson,
}

impl Relation {
    /// Of the user `id`, who is `user` if there still is one.
    pub fn to(caller: &Caller, id: UserId, user: Option<&User>) -> Self {
        match (caller.user_id(), user) {
            (Some(own), _) if own == id => Self::Oneself,
            (Some(own), Some(user)) if user.is_machine_of(own) => Self::OwnMachine,
            (_, Some(user)) if user.owner().is_some() => Self::OtherMachine,
            _ => Self::OtherPerson,
        }
    }

    /// Whether the target is not the caller's own: an admin's acts on it are recorded, reads included.
    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::OtherMachine | Self::OtherPerson)
    }
}

/// Whether the caller's token may do such a thing at all, whatever the target.
///
/// # Errors
/// It has scopes, and not the one for this.
pub fn admit(caller: &Caller, action: Action) -> Result<(), Denied> {
    match action.rule() {
        None => Err(Denied::Role),
        Some(Rule {
            scope: Some(scope), ..
        }) if !caller.allows(*scope) => Err(Denied::Scope(*scope)),
        Some(_) => Ok(()),
    }
}

/// Whether the caller may do `action` to a target that is `relation` to it.
///
/// # Errors
/// Why it may not.
pub fn may(caller: &Caller, action: Action, relation: Relation) -> Result<(), Denied> {
    admit(caller, action)?;
    let rule = action.rule().ok_or(Denied::Role)?;
    if caller.is_local() {
        // Who can write the database may do anything; that it is recorded is what counts here.
        return Ok(());
    }
    let own = match relation {
        Relation::Oneself => rule.oneself,
        // A machine owns nothing, so none is ever its own machine.
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
