//! Setting a password.

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

/// What a client asks for, as it came.
#[derive(Clone, Debug)]
pub struct SetPassword {
    /// Whose; empty: the caller's.
    pub user_id: String,
    /// The present one, which one must know to set one's own.
    pub old: Secret,
    /// The new one.
    pub new: Secret,
    /// Whether to delete all of the user's tokens too.
    pub delete_tokens: bool,
}

impl App {
    /// Sets a person's password, and says how many live tokens were deleted with it.
    ///
    /// One's own needs the old one, whose check is throttled as a sign-in is.
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
        // A revocation: whoever knows the old password cannot sign in any more.
        let deleted = self
            .revoke_sign_in(move |tx| {
                let caller = caller.refresh(tx, now)?;
                let (user, permit) = find_target(tx, &caller, Action::SetPassword, "user_id", &id)?;
                if let Some(old) = &old {
                    // It may have been set to another one while this request was hashing.
                    let stored = users::password_hash(tx, user.id)?.map(PasswordHash::from_row);
                    if stored.as_ref() != Some(old) {
                        return Err(Denied::OldPassword.into());
                    }
                }
                users::set_password_hash(tx, user.id, hash.as_str(), now)?;
                let deleted = if request.delete_tokens {
                    tokens::delete_live_of_user(tx, user.id, now)?
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

    /// The hash that the old password fits.
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
