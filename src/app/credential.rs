//! Finding what a shown token stands for. All that accepts tokens comes through here: authentication and
//! verification cannot differ in what they look up.

mod memory;

pub(super) use memory::{Known, Memory};

use std::sync::Arc;

use crate::{
    domain::{
        id::{TokenId, UserId},
        presented_token::PresentedToken,
        secret::Secret,
    },
    store::{
        Stamp,
        tokens::{self, Credential},
    },
};

use super::{App, Error, error::Unauthenticated};

impl App {
    /// What is stored of the token that was shown, as it is at some moment after this call began: a deletion
    /// that was answered is seen. That its secret is right says nothing of its being valid still.
    ///
    /// # Errors
    /// There is none with that secret, or the store failed.
    pub(super) async fn find_credential(&self, presented: PresentedToken) -> Result<Known, Error> {
        let (id, hash) = (presented.id(), *presented.hash());
        let db = &self.0.db;
        let is_true = |stamp, known: &Credential| db.still_decides(stamp, &known.lineage);
        if let Some(known) = self.0.credentials.find(id, &hash, is_true) {
            return Ok(known);
        }
        let is_right = |found: &Credential| found.hash.matches(&hash);
        let found = self.read_credential(id, is_right).await?;
        Ok(found.ok_or(Unauthenticated::WrongToken)?)
    }

    /// What is stored of the token `id`, its last use too, where that is in memory: for who may know it without
    /// its secret.
    pub(super) fn credential_in_memory(&self, id: TokenId) -> Option<Arc<Credential>> {
        let db = &self.0.db;
        let is_true = |stamp, known: &Credential| db.is_unchanged(stamp, &known.lineage);
        let known = self.0.credentials.get(id, is_true);
        known.map(|known| known.credential)
    }

    /// What decides on the token `id`, whose secret was checked before.
    pub(super) async fn credential_again(&self, id: TokenId) -> Result<Known, Error> {
        let db = &self.0.db;
        let is_true = |stamp, known: &Credential| db.still_decides(stamp, &known.lineage);
        if let Some(known) = self.0.credentials.get(id, is_true) {
            return Ok(known);
        }
        let found = self.read_credential(id, |_| true).await?;
        Ok(found.ok_or(Unauthenticated::WrongToken)?)
    }

    /// Which token is shown, and whose it is, where it is in memory and its secret is right: for the log, which is
    /// not worth a read. It says nothing of the token's being valid.
    pub fn holder(&self, shown: &Secret) -> Option<(TokenId, UserId)> {
        let presented = PresentedToken::parse(shown.expose()).ok()?;
        let id = presented.id();
        let db = &self.0.db;
        let is_true = |stamp, known: &Credential| db.is_unchanged(stamp, &known.lineage);
        let known = self.0.credentials.get(id, is_true)?.credential;
        let is_right = known.hash.matches(presented.hash());
        is_right.then(|| (id, known.lineage.token.user_id))
    }

    /// Reads a credential, and keeps it if it is wanted.
    async fn read_credential(
        &self,
        id: TokenId,
        is_wanted: impl FnOnce(&Credential) -> bool,
    ) -> Result<Option<Known>, Error> {
        // Before the read: what is committed from here on is later than the stamp.
        let stamp = self.0.db.stamp();
        let read = self.look_up(move |tx| Ok(tokens::find_credential(tx, id)?));
        let found = read.await?.filter(is_wanted);
        Ok(found.map(|found| self.keep_credential(stamp, found)))
    }

    /// Keeps what was read after the stamp was made.
    pub(super) fn keep_credential(&self, stamp: Stamp, read: Credential) -> Known {
        let credential = Arc::new(read);
        let known = Known { stamp, credential };
        self.0.credentials.keep(&known);
        known
    }

    /// How many credentials were found in memory since the start, and how many had to be read.
    pub fn credential_lookups(&self) -> (u64, u64) {
        self.0.credentials.counts()
    }
}
