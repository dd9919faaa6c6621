//! The handle that the use cases hold.

use std::sync::Arc;

use crate::domain::token::Lineage;

use super::{
    error::Error,
    freshness::Stamp,
    job,
    open::{OpenError, StoreOptions},
    sqlite::Engine,
    tx::Tx,
};

/// An open database, which no other process has open. Clones share it; the last one that is dropped waits for
/// the threads, closes the files and lets others have them.
#[derive(Clone, Debug)]
pub struct Db {
    engine: Arc<Engine>,
}

impl Db {
    /// Opens the database, or says why not. Looks at the file's header and schema only.
    pub fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let engine = Arc::new(Engine::open(options)?);
        Ok(Self { engine })
    }

    /// Runs `work` in a read transaction that began after this call: it sees all that was committed before.
    /// Work whose caller has gone is skipped. It must be short: others share its transaction.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::prepare_once(work);
        self.engine.read(job)?;
        answer.wait().await
    }

    /// Runs `work` as [`Db::read`] does, on a thread and a queue of their own: for the few rows, found by a
    /// unique key, that decide whether a credential is good. No list, search or count ever delays it, and so
    /// none may come this way.
    pub async fn look_up<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::prepare_once(work);
        self.engine.look_up(job)?;
        answer.wait().await
    }

    /// Runs `work` in a write transaction. `Ok` is answered once the commit is durable; on `Err` nothing
    /// that the work wrote is kept, unless the error is that the store closed: then that is not known. Where the
    /// disk does not make a commit safe, the process ends and nobody is answered
    /// ([`on_fatal`](StoreOptions::on_fatal)). Work whose caller has gone before it began is skipped.
    ///
    /// An engine may run the work again after a conflict, so all that it decides comes from `Tx` and from
    /// values drawn before.
    pub async fn write<T, E>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::prepare(work, false);
        self.engine.write(job)?;
        answer.wait().await
    }

    /// Runs `work` as [`Db::write`] does, and also where the disk is full: for what takes away access, and
    /// nothing else.
    pub async fn revoke<T, E>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job::prepare(work, true);
        self.engine.write(job)?;
        answer.wait().await
    }

    /// Whether the disk was full when something was last written, so that only [`Db::revoke`] writes. A write
    /// finds out whether there is room again.
    pub fn disk_is_full(&self) -> bool {
        self.engine.disk_is_full()
    }

    /// For a credential that is read after this call: tells later whether it is still true.
    pub fn stamp(&self) -> Stamp {
        self.engine.freshness().stamp()
    }

    /// Whether the credential of that lineage, which was read after `stamp`, decides as one that is read now: then it may be used as
    /// if it were read now. It does not wait for anything.
    pub fn still_decides(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.engine.freshness().still_decides(stamp, lineage)
    }

    /// Likewise, and whether what decides nothing, its last use, is the same, too.
    pub fn is_unchanged(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.engine.freshness().is_unchanged(stamp, lineage)
    }

    /// Reads the whole database; one sentence for each thing that is wrong with it.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        self.engine.check().await
    }
}

#[cfg(test)]
mod tests;
