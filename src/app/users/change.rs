//! Changes a user: its role, owner and description, and whether it is active; and deletes it.

use crate::{
    domain::{
        note::Note,
        reason::Reason,
        time::Timestamp,
        user::{Role, User, UserKind},
    },
    store::{Tx, audit, tokens, users},
};

use super::{
    super::{
        App, Error,
        authz::Action,
        caller::Caller,
        error::{Checked, FieldError},
    },
    create::{check_machine_limit, find_owner},
    find_target, keep_an_admin, wrong_type,
};

impl App {
    /// Sets a user's role.
    pub async fn set_role(
        &self,
        caller: &Caller,
        id: &str,
        role: Checked<Role>,
    ) -> Result<User, Error> {
        self.change(caller, Action::SetRole, "user_id", id, move |tx, user| {
            let role = role.clone()?;
            if role != Role::Admin {
                keep_an_admin(tx, user)?;
            }
            user.role = role;
            Ok(())
        })
        .await
    }

    /// Gives a machine user another owner.
    pub async fn set_owner(
        &self,
        caller: &Caller,
        id: &str,
        owner_id: &str,
    ) -> Result<User, Error> {
        let owner_id = owner_id.to_owned();
        self.change(caller, Action::SetOwner, "user_id", id, move |tx, user| {
            if owner_id.is_empty() {
                return Err(FieldError::new("owner_id", "is required").into());
            }
            let UserKind::Machine { owner: old } = user.kind else {
                return Err(wrong_type("only a machine has an owner"));
            };
            let owner = find_owner(tx, &owner_id)?.id;
            if owner != old {
                check_machine_limit(tx, owner)?;
            }
            user.kind = UserKind::Machine { owner };
            Ok(())
        })
        .await
    }

    /// Sets a user's description; `None` changes nothing.
    pub async fn set_description(
        &self,
        caller: &Caller,
        id: &str,
        description: Option<String>,
    ) -> Result<User, Error> {
        let description = description
            .map(Note::parse)
            .transpose()
            .map_err(|error| FieldError::new("description", error));
        self.change(
            caller,
            Action::DescribeUser,
            "user_id",
            id,
            move |_, user| {
                if let Some(description) = description.clone()? {
                    user.description = description;
                }
                Ok(())
            },
        )
        .await
    }

    /// Deactivates a user, who cannot sign in and whose tokens are invalid until it is reactivated.
    pub async fn deactivate_user(&self, caller: &Caller, id: &str) -> Result<User, Error> {
        self.change(caller, Action::DeactivateUser, "id", id, |tx, user| {
            keep_an_admin(tx, user)?;
            user.deactivated = true;
            Ok(())
        })
        .await
    }

    /// Reactivates a user, whose tokens become valid again.
    pub async fn reactivate_user(&self, caller: &Caller, id: &str) -> Result<User, Error> {
        self.change(caller, Action::ReactivateUser, "id", id, |_, user| {
            user.deactivated = false;
            Ok(())
        })
        .await
    }

    /// Deletes a user with its tokens, and returns how many of these were live. The username is never reused.
    pub async fn delete_user(&self, caller: &Caller, id: &str) -> Result<u32, Error> {
        let now = self.now();
        let (caller, id) = (caller.clone(), id.to_owned());
        self.revoke_sign_in(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let (user, permit) = find_target(tx, &caller, Action::DeleteUser, "id", &id)?;
            if users::count_machines(tx, user.id)? > 0 {
                return Err(Error::Precondition {
                    reason: Reason::UserOwnsMachines,
                    problem: "the user owns machines: delete them or give them another owner first"
                        .to_owned(),
                });
            }
            keep_an_admin(tx, &user)?;
            let deleted = tokens::revoke_live_of_user(tx, user.id, now)?;
            users::mark_deleted(tx, user.id, now)?;
            audit::append(tx, permit.event_with(now, user.id, deleted))?;
            Ok((u32::try_from(deleted).unwrap_or(u32::MAX), Some(user)))
        })
        .await
    }

    /// Applies `change` to a user in one transaction with its audit row, and returns the result. If nothing changes,
    /// nothing is written.
    async fn change(
        &self,
        caller: &Caller,
        action: Action,
        field: &'static str,
        id: &str,
        change: impl Fn(&Tx<'_>, &mut User) -> Result<(), Error> + Send + 'static,
    ) -> Result<User, Error> {
        let now: Timestamp = self.now();
        let (caller, id) = (caller.clone(), id.to_owned());
        let work = move |tx: &Tx<'_>| {
            let caller = caller.refresh(tx, now)?;
            let (before, permit) = find_target(tx, &caller, action, field, &id)?;
            let mut user = before.clone();
            change(tx, &mut user)?;
            if user != before {
                user.update_time = now;
                users::update(tx, &user)?;
                audit::append(tx, permit.event(now, user.id))?;
            }
            Ok(user)
        };
        match action {
            Action::DeactivateUser => {
                let work = move |tx: &Tx<'_>| work(tx).map(|user| (user.clone(), Some(user)));
                self.revoke_sign_in(work).await
            }
            _ => self.write(work).await,
        }
    }
}
