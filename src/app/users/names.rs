//! Looks up usernames for the user IDs in a reply.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{id::UserId, user::Username},
    store::users,
};

use super::super::{App, Error};

/// Usernames by ID, including deleted users.
pub type Usernames = BTreeMap<UserId, Username>;

impl App {
    /// The usernames of those of these users that exist or existed, in a single transaction.
    pub(in crate::app) async fn usernames(
        &self,
        ids: impl Iterator<Item = UserId>,
    ) -> Result<Usernames, Error> {
        let ids: BTreeSet<_> = ids.collect();
        if ids.is_empty() {
            return Ok(Usernames::new());
        }
        self.read(move |tx| {
            let mut names = Usernames::new();
            for id in &ids {
                if let Some(name) = users::username(tx, *id)? {
                    names.insert(*id, name);
                }
            }
            Ok::<_, Error>(names)
        })
        .await
    }
}
