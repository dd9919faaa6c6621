//! Sets a password.

use crate::{
    domain::{secret::Secret, user::User},
    store::{audit, tokens, users},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Denied, FieldError},
        passwords::{NewPassword, PasswordHash},
    },
    find_target, wrong_type,
};

/// A request to set a password, not yet checked.
#[derive(Clone, Debug)]
pub struct SetPassword {
    /// The user's ID; empty: the caller.
    pub user_id: String,
    /// The old password, which is required for setting one's own.
    pub old: Secret,
    /// The new password.
    pub new: Secret,
    /// Whether to delete all of the user's tokens, too.
    pub delete_tokens: bool,
}

impl App {
    /// Sets a person's password, and returns how many live tokens were deleted with it.
    ///
    /// Setting one's own needs the old password, which is checked and throttled like a sign-in.
    pub async fn set_password(&self, caller: &Caller, request: SetPassword) -> Result<u32, Error> {
        authz::admit(caller, Action::SetPassword)?;
        let own = caller
            .user_id()
            .map(|id| id.to_string())
            .unwrap_or_default();
        let id = if request.user_id.is_empty() {
            own.clone()
        } else {
            request.user_id
        };
        let target_id = id.clone();
        let (user, relation) = self
            .read_as(caller, move |tx, caller| {
                let found = find_target(tx, caller, Action::SetPassword, "user_id", &target_id);
                found.map(|(user, permit)| (user, permit.relation()))
            })
            .await?;
        let new = NewPassword::parse(&request.new, user.username.as_str())
            .map_err(|error| FieldError::new("new_password", error))?;
        if user.owner().is_some() {
            return Err(wrong_type("a machine has no password"));
        }
        let old = if relation == Relation::Oneself {
            self.check_old_password(caller, &user, request.old).await?
        } else {
            None
        };
        let hash = self.hasher().hash(new).await?;

        let now = self.now();
        let caller = caller.clone();
        let username = user.username.clone();
        // This is a revocation, as whoever knows the old password can no longer sign in.
        let deleted = self
            .revoke_sign_in(move |tx| {
                let caller = caller.refresh(tx, now)?;
                let (user, permit) = find_target(tx, &caller, Action::SetPassword, "user_id", &id)?;
                if let Some(old) = &old {
                    // Another request may have changed the password while this one was hashing.
                    let stored = users::password_hash(tx, user.id)?.map(PasswordHash::from_row);
                    if stored.as_ref() != Some(old) {
                        return Err(Denied::OldPassword.into());
                    }
                }
                users::set_password_hash(tx, user.id, hash.as_str(), now)?;
                let deleted = if request.delete_tokens {
                    tokens::revoke_live_of_user(tx, user.id, now)?
                } else {
                    0
                };
                audit::append(tx, permit.event_with(now, user.id, deleted))?;
                Ok((u32::try_from(deleted).unwrap_or(u32::MAX), Some(user)))
            })
            .await?;
        self.forget_initial_password(&username);
        Ok(deleted)
    }

    /// Checks the old password and returns its stored hash.
    async fn check_old_password(
        &self,
        caller: &Caller,
        user: &User,
        old: Secret,
    ) -> Result<Option<PasswordHash>, Error> {
        if old.expose().is_empty() {
            return Err(FieldError::new("old_password", "is required to set one's own").into());
        }
        let id = user.id;
        let stored = self
            .look_up(move |tx| Ok(users::password_hash(tx, id)?))
            .await?;
        let stored = stored.map(PasswordHash::from_row);
        self.check_password(caller, user, &old, stored.clone())
            .await?;
        Ok(stored)
    }
}
