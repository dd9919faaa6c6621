//! Deletes a user.

use crate::{
    domain::reason::Reason,
    store::{audit, tokens, users},
};

use super::{
    super::{App, Error, authz::Action, caller::Caller},
    find_target, keep_an_admin,
};

impl App {
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
}
