//! The use cases of users.

mod change;
mod create;
mod delete;
mod password;
mod read;

pub use create::{CreateUser, NewUser};
pub use password::SetPassword;
pub use read::ListUsers;

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
    error::{FieldError, Noun},
};

/// How many machines a person may own.
pub const MAX_MACHINES: u64 = 100;

/// How many bytes of a user ID are looked at.
const MAX_ID_BYTES: usize = 256;

/// The user that `field` of a request names, if the caller may do `action` to it.
///
/// An action for admins alone is denied to others before anything is looked up; else a user that the
/// caller may not act on is answered like one that is not there.
fn find_target(
    tx: &Tx<'_>,
    caller: &Caller,
    action: Action,
    field: &'static str,
    id: &str,
) -> Result<User, Error> {
    admit_target(caller, action)?;
    if id.is_empty() {
        return Err(FieldError::new(field, "is required").into());
    }
    if id.len() > MAX_ID_BYTES {
        return Err(FieldError::new(field, "must be at most 256 bytes").into());
    }
    let found = match UserId::parse(id) {
        Some(id) => users::find(tx, id)?,
        None => None,
    };
    let user = found.ok_or(Error::NotFound(Noun::User))?;
    let relation = Relation::to(caller, user.id, Some(&user));
    match authz::may(caller, action, relation) {
        Ok(()) => Ok(user),
        // That the user is there is no secret from itself.
        Err(denied) if relation == Relation::Oneself => Err(denied.into()),
        Err(_) => Err(Error::NotFound(Noun::User)),
    }
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
