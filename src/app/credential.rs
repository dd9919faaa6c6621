//! Looks up the credential behind a presented token. Authentication and verification both come through here, so
//! they cannot differ in what they look up.

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

use super::{App, Error, credential_cache::CachedCredential, error::Unauthenticated};

impl App {
    /// The stored credential of a presented token whose secret matches, no older than this call: it sees every
    /// revocation that was answered before. The token need not be valid.
    ///
    /// # Errors
    /// No token has that secret, or the store failed.
    pub(super) async fn find_credential(
        &self,
        presented: PresentedToken,
    ) -> Result<CachedCredential, Error> {
        let (id, hash) = (presented.id(), *presented.hash());
        let db = &self.0.db;
        let is_current = |stamp, known: &Credential| db.still_decides(stamp, &known.lineage);
        if let Some(known) = self.0.credentials.find(id, &hash, is_current) {
            return Ok(known);
        }
        let is_right = |found: &Credential| found.hash.matches(&hash);
        let found = self.read_credential(id, is_right).await?;
        Ok(found.ok_or(Unauthenticated::WrongToken)?)
    }

    /// The credential of the token `id` if an up-to-date copy is in memory, its last use included. The secret is
    /// not checked: the caller must be allowed to read the token.
    pub(super) fn cached_credential(&self, id: TokenId) -> Option<Arc<Credential>> {
        let db = &self.0.db;
        let is_current = |stamp, known: &Credential| db.is_unchanged(stamp, &known.lineage);
        let known = self.0.credentials.get(id, is_current);
        known.map(|known| known.credential)
    }

    /// The current credential of the token `id`, whose secret was checked before.
    pub(super) async fn current_credential(&self, id: TokenId) -> Result<CachedCredential, Error> {
        let db = &self.0.db;
        let is_current = |stamp, known: &Credential| db.still_decides(stamp, &known.lineage);
        if let Some(known) = self.0.credentials.get(id, is_current) {
            return Ok(known);
        }
        let found = self.read_credential(id, |_| true).await?;
        Ok(found.ok_or(Unauthenticated::WrongToken)?)
    }

    /// The IDs of a presented token and its user, if the credential is in memory and the secret matches. This is for
    /// the log, which is not worth a read of the store. The token need not be valid.
    pub fn holder(&self, text: &Secret) -> Option<(TokenId, UserId)> {
        let presented = PresentedToken::parse(text.expose()).ok()?;
        let id = presented.id();
        let db = &self.0.db;
        let is_current = |stamp, known: &Credential| db.is_unchanged(stamp, &known.lineage);
        let known = self.0.credentials.get(id, is_current)?.credential;
        let is_right = known.hash.matches(presented.hash());
        is_right.then(|| (id, known.lineage.token.user_id))
    }

    /// Reads a credential from the store, and caches it if it is wanted.
    async fn read_credential(
        &self,
        id: TokenId,
        is_wanted: impl FnOnce(&Credential) -> bool,
    ) -> Result<Option<CachedCredential>, Error> {
        // Taken before the read, so that every commit which the read may miss is later than the stamp.
        let stamp = self.0.db.stamp();
        let read = self.look_up(move |tx| Ok(tokens::find_credential(tx, id)?));
        let found = read.await?.filter(is_wanted);
        Ok(found.map(|found| self.cache_credential(stamp, found)))
    }

    /// Caches a credential that was read after the stamp was taken.
    pub(super) fn cache_credential(&self, stamp: Stamp, read: Credential) -> CachedCredential {
        let credential = Arc::new(read);
        let known = CachedCredential { stamp, credential };
        self.0.credentials.keep(&known);
        known
    }

    /// Cache hits and misses since the start.
    pub fn credential_lookups(&self) -> (u64, u64) {
        self.0.credentials.counts()
    }
}
