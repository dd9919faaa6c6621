//! The use cases of users.

mod change;
mod create;
mod delete;
mod names;
mod password;
mod read;

pub use create::{CreateUser, NewUser};
pub use names::Usernames;
pub use password::SetPassword;
pub use read::{ListUsers, UserStakes};

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
    caller::{Caller, CallerInTx, Permit},
    error::{Denied, FieldError, Noun},
};

/// How many machines a person may own.
pub const MAX_MACHINES: u64 = 100;

/// How many bytes of a user ID are looked at.
const MAX_ID_BYTES: usize = 256;

/// The user that `field` of a request names, if the caller may do `action` to it.
///
/// An action for admins alone is denied to others before anything is looked up; else a user that the
/// caller may not act on is answered like one that is not there.
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
        // That the user is there is no secret from itself.
        Found::Denied(Relation::Oneself, denied) => Err(denied.into()),
        Found::Denied(..) | Found::Missing => Err(Error::NotFound(Noun::User)),
    }
}

/// A user that was looked for.
pub(super) enum Found<'a> {
    /// It is there, and the caller may.
    Permitted(User, Permit<'a>),
    /// It is there, and the caller may not.
    Denied(Relation, Denied),
    /// It is not there.
    Missing,
}

impl<'a> Found<'a> {
    /// The user. Whether one that is not for the caller is there, only an admin is told.
    pub(super) fn or_denied(self, caller: &Caller) -> Result<(User, Permit<'a>), Error> {
        match self {
            Self::Permitted(user, permit) => Ok((user, permit)),
            Self::Missing if caller.acts_as_admin() => Err(Error::NotFound(Noun::User)),
            Self::Denied(_, denied) => Err(denied.into()),
            Self::Missing => Err(Denied::Role.into()),
        }
    }
}

/// The user `id`, if the caller may do `action` to it. Why it may not is found out by the same work, whatever the
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
    // Every refusal has read one user that is there and one that is not, so that time does not tell which of
    // them was asked for.
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

/// Refuses what would leave the server without an active admin who is a person. Called before `user`
/// stops being one.
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
