//! The use cases of users, and what they share: finding the target without telling whether others exist.

mod change;
mod create;
mod password;
mod read;

pub use create::{CreateUser, NewUser};
pub use password::SetPassword;
pub use read::{ListUsers, UserImpact, Usernames};

pub use crate::store::users::KindFilter;

use crate::{
    domain::{
        id::UserId,
        reason::Reason,
        user::{Role, User},
    },
    store::{Tx, users},
};

use super::{
    Error,
    authz::{self, Action, Relation},
    caller::Caller,
    error::{Denied, FieldError, Noun},
    permit::{CallerInTx, Permit},
};

/// Maximum number of machine users that a person may own.
pub const MAX_MACHINES: u64 = 100;

/// Maximum length of a user ID in a request.
const MAX_ID_BYTES: usize = 256;

/// The user named by `field` of a request, if the caller may do `action` to it.
///
/// An admin-only action is denied to others before anything is looked up. Otherwise, a user that the caller may not
/// act on is reported as not found.
fn find_target<'a>(
    tx: &Tx<'_>,
    caller: &'a CallerInTx<'_>,
    action: Action,
    field: &'static str,
    id: &str,
) -> Result<(User, Permit<'a>), Error> {
    admit_target(caller, action)?;
    if id.is_empty() {
        return Err(FieldError::new(field, "is required").into());
    }
    if id.len() > MAX_ID_BYTES {
        return Err(FieldError::new(field, "must be at most 256 bytes").into());
    }
    match find_permitted(tx, caller, action, id)? {
        Found::Permitted(user, permit) => Ok((user, permit)),
        // The user's own existence is no secret from itself.
        Found::Denied(Relation::Oneself, denied) => Err(denied.into()),
        Found::Denied(..) | Found::Missing => Err(Error::NotFound(Noun::User)),
    }
}

/// The result of looking up a target.
pub(super) enum Found<'a> {
    /// The user exists, and the caller may act on it.
    Permitted(User, Permit<'a>),
    /// The user exists, but the caller may not act on it.
    Denied(Relation, Denied),
    /// The user does not exist.
    Missing,
}

impl<'a> Found<'a> {
    /// The user, if the caller may act on it. Only an admin learns whether any other exists.
    pub(super) fn or_denied(self, caller: &Caller) -> Result<(User, Permit<'a>), Error> {
        match self {
            Self::Permitted(user, permit) => Ok((user, permit)),
            Self::Missing if caller.acts_as_admin() => Err(Error::NotFound(Noun::User)),
            Self::Denied(_, denied) => Err(denied.into()),
            Self::Missing => Err(Denied::Role.into()),
        }
    }
}

/// Looks up the user `id` and whether the caller may do `action` to it. Every refusal does the same work, whatever its
/// reason.
pub(super) fn find_permitted<'a>(
    tx: &Tx<'_>,
    caller: &'a CallerInTx<'_>,
    action: Action,
    id: &str,
) -> Result<Found<'a>, Error> {
    let found = users::find(tx, UserId::parse(id).unwrap_or(UserId::NONE))?;
    let found = match found {
        None => Found::Missing,
        Some(user) => {
            let relation = Relation::to(caller, user.id, Some(&user));
            match caller.may(action, relation) {
                Ok(permit) => return Ok(Found::Permitted(user, permit)),
                Err(denied) => Found::Denied(relation, denied),
            }
        }
    };
    // Every refusal has read one existing and one missing user, so that its timing does not tell whether the user
    // exists.
    let own = caller.user_id().filter(|_| matches!(found, Found::Missing));
    users::find(tx, own.unwrap_or(UserId::NONE))?;
    Ok(found)
}

fn admit_target(caller: &Caller, action: Action) -> Result<(), Error> {
    authz::admit(caller, action)?;
    let for_admins = action
        .rule()
        .is_none_or(|rule| !rule.oneself && !rule.owner);
    if for_admins {
        authz::may(caller, action, Relation::OtherPerson)?;
    }
    Ok(())
}

/// Refuses to remove the last active admin who is a person. Call it before `user` stops being one.
fn keep_an_admin(tx: &Tx<'_>, user: &User) -> Result<(), Error> {
    let counts = user.role == Role::Admin && user.owner().is_none() && !user.deactivated;
    if counts && users::count_active_admins(tx)? <= 1 {
        return Err(Error::Precondition {
            reason: Reason::LastAdmin,
            problem: "this is the last active admin: make another one first".to_owned(),
        });
    }
    Ok(())
}

fn wrong_type(problem: &str) -> Error {
    Error::Precondition {
        reason: Reason::WrongUserType,
        problem: problem.to_owned(),
    }
}
