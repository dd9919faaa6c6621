//! The names of users that a reply holds the IDs of.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{id::UserId, user::Username},
    store::users,
};

use super::super::{App, Error};

/// Names by ID, of deleted users, too.
pub type Usernames = BTreeMap<UserId, Username>;

impl App {
    /// The names of these users, as far as there are such: in one read, however many they are.
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
