//! The handle to the database that the use cases hold.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::token::Lineage;

use super::{
    engine::{freshness::Stamp, job},
    error::Error,
    open::{OpenError, StoreOptions},
    sqlite::{Backup, Engine},
    tx::Tx,
};

/// An open database. No other process can open it meanwhile. Clones share it; dropping the last one waits for the
/// threads, closes the files and releases the lock.
#[derive(Clone, Debug)]
pub struct Db {
    engine: Arc<Engine>,
}

impl Db {
    /// Opens the database, or says why it cannot. Reads only the file's header and schema.
    pub fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let engine = Arc::new(Engine::open(options)?);
        Ok(Self { engine })
    }

    /// Runs `work` in a read transaction that began after this call, so it sees everything committed before. Skipped
    /// if the caller is gone before it begins. It must be short: other reads share its transaction.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, result) = job::prepare_once(work);
        self.engine.read(job)?;
        result.wait().await
    }

    /// Like [`Db::read`], but with a queue and a thread of its own, for the few rows, found by a unique key, that
    /// decide whether a credential is valid. Lists, searches and counts must not use it, so that they never delay it.
    pub async fn look_up<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, result) = job::prepare_once(work);
        self.engine.look_up(job)?;
        result.wait().await
    }

    /// Runs `work` in a write transaction. `Ok` is returned once the commit is durable. On `Err` nothing that the
    /// work wrote is kept, unless the store was closing: then the outcome is unknown. If the commit cannot be synced
    /// to disk, the process ends without answering anybody ([`on_fatal`](StoreOptions::on_fatal)). Skipped if the
    /// caller is gone before it begins.
    ///
    /// An engine may run the work again after a conflict, so it must depend only on `Tx` and on values drawn
    /// beforehand.
    pub async fn write<T, E>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, result) = job::prepare(work, false);
        self.engine.write(job)?;
        result.wait().await
    }

    /// Like [`Db::write`], but also admitted while the disk is full. Only for work that revokes access.
    pub async fn revoke<T, E>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, result) = job::prepare(work, true);
        self.engine.write(job)?;
        result.wait().await
    }

    /// Whether the disk was full at the last write, so that only [`Db::revoke`] is admitted. The next write checks
    /// whether there is room again.
    pub fn disk_is_full(&self) -> bool {
        self.engine.disk_is_full()
    }

    /// The number of the last audit row that was committed since the database was opened; 0 before the first. Whoever
    /// got the result of a write finds its rows counted.
    pub fn audit_rows(&self) -> watch::Receiver<i64> {
        self.engine.freshness().audit_rows()
    }

    /// Take this before reading a credential, to check later whether what was read is still current.
    pub fn stamp(&self) -> Stamp {
        self.engine.freshness().stamp()
    }

    /// Whether a credential that was read after `stamp` would still decide the same if it were read now, so that it
    /// may be used from memory. Never waits.
    pub fn still_decides(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.engine.freshness().still_decides(stamp, lineage)
    }

    /// Like [`Db::still_decides`], and the last use is unchanged too.
    pub fn is_unchanged(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.engine.freshness().is_unchanged(stamp, lineage)
    }

    /// Checks the whole database, and returns one sentence per problem.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        self.engine.check().await
    }

    /// Copies the database as it is now, with everything committed before this call, while others read and write it.
    /// `guard` is dropped with the copy.
    pub async fn back_up(&self, guard: impl Send + Sync + 'static) -> Result<Backup, Error> {
        self.engine.back_up(Box::new(guard)).await
    }
}
