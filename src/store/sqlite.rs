//! The `SQLite` engine, and the only module that names its driver.
//!
//! Reader threads serve reads, a thread of its own serves credential lookups, and a single writer thread makes all
//! changes. Each keeps its connection for life. Such threads and a oneshot channel halve the cost of a lookup
//! compared with a pool and blocking tasks, and sharing a transaction among all queued reads halves it again.

mod backup;
mod check;
mod checkpoint;
mod connect;
mod fault;
mod file;
mod in_use;
mod inspect;
mod lock;
mod migrate;
pub(super) mod open;
mod reader;
mod reserve;
mod restore;
pub(super) mod session;
#[cfg(test)]
pub(super) mod tests;
mod wal;
mod writer;

use std::{
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    engine::{freshness::Freshness, job::Job, queue::JobQueue},
    error::{Error, Unavailable},
    open::{EngineOptions, OpenAs, OpenError, SchemaChange, StoreOptions},
};
use crate::metrics::QueueName;
pub use backup::Backup;
use checkpoint::{CheckpointMode, Checkpointer};
use connect::Pool;
use file::DatabaseFile;
pub use inspect::{Inspection, inspect};
use lock::DatabaseLock;
use migrate::LastUse;
pub use open::{SqliteOpenError, SqliteOptions};
use reader::OpenReads;
use reserve::Reserve;
pub use restore::{Ended, NewerRevocations, Restore, RestoreError, Restored};

/// The path of the database with links resolved, and whether the database exists, as far as that can be told without
/// owning it.
///
/// # Errors
/// The path, its folder, its permissions or its header is refused.
pub fn locate(options: &StoreOptions) -> Result<(PathBuf, bool), OpenError> {
    let EngineOptions::Sqlite(sqlite) = &options.engine;
    let database = DatabaseFile::find(sqlite, options.open_as)?;
    database.check_files(sqlite)?;
    let exists = database.check_unlocked(options.open_as)?;
    Ok((database.path, exists))
}

/// Migrates the database, or creates it.
///
/// # Errors
/// The database cannot be opened, or a migration failed and was undone.
pub fn migrate(options: &StoreOptions) -> Result<SchemaChange, OpenError> {
    let (lock, mut change, last_use) = own(options)?;
    change.warning = (last_use == LastUse::LogMissing).then_some(in_use::LOG_IS_MISSING);
    lock.sync_names()
        .map_err(|error| fault::of_opening(lock.path(), error))?;
    Ok(change)
}

/// What [`migrate`] would do. Changes nothing.
///
/// # Errors
/// The database cannot be opened.
pub fn pending_migrations(options: &StoreOptions) -> Result<SchemaChange, OpenError> {
    let EngineOptions::Sqlite(sqlite) = &options.engine;
    migrate::pending(sqlite, options)
}

/// Makes this process the owner of the database, and prepares its schema.
fn own(options: &StoreOptions) -> Result<(DatabaseLock, SchemaChange, LastUse), OpenError> {
    let EngineOptions::Sqlite(sqlite) = &options.engine;
    let lock = DatabaseLock::acquire(sqlite, options)?;
    lock.check_file(sqlite, options.open_as)?;
    backup::remove_leftovers(lock.path());
    restore::remove_leftovers(lock.path());
    let (change, last_use) = migrate::prepare(&lock, options).or_else(|refusal| {
        // On a full disk SQLite needs some space to start.
        let may_give = options.open_as == OpenAs::Serve && refusal.may_be_full();
        if may_give && Reserve::release_of(lock.path()) {
            migrate::prepare(&lock, options)
        } else {
            Err(refusal)
        }
    })?;
    Ok((lock, change, last_use))
}

/// What the threads share. Must be dropped after the connections, since it releases the lock.
#[derive(Debug)]
struct Shared {
    lock: DatabaseLock,
    freshness: Freshness,
    checkpointer: Checkpointer,
    open_reads: OpenReads,
    rerun_writes: bool,
    busy_timeout: Duration,
    /// Log length above which the oldest read transaction is ended.
    max_log_bytes: u64,
    log_is_missing: bool,
    /// Whether it is marked as in use. A command leaves a mark that tells of a missing log.
    is_marked: bool,
    /// A command has none.
    reserve: Option<Reserve>,
}

/// An open `SQLite` database and the threads that work on it.
#[derive(Debug)]
pub(super) struct Engine {
    reads: Arc<JobQueue>,
    /// For credentials. No list, search or count ever delays these.
    lookups: Arc<JobQueue>,
    writes: Arc<JobQueue>,
    threads: Vec<JoinHandle<()>>,
    pool: Pool,
    /// Dropped after the connections, since it releases the lock.
    shared: Arc<Shared>,
}

impl Engine {
    pub(super) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let EngineOptions::Sqlite(sqlite) = &options.engine;
        let (lock, change, last_use) = own(options)?;
        if options.open_as == OpenAs::Serve {
            change.log();
        }
        let pool = connect::pool(lock.path(), options)?;
        let first = connect::get(&pool, lock.path())?;
        // The log now exists, and stays for as long as the database is open.
        lock.sync_names()
            .map_err(|error| fault::of_opening(lock.path(), error))?;
        if last_use == LastUse::LogMissing && options.open_as == OpenAs::Serve {
            tracing::warn!(path = %lock.path().display(), "{}", in_use::LOG_IS_MISSING);
        }
        if options.open_as == OpenAs::Serve {
            mark_in_use(&first).map_err(|error| fault::of_opening(lock.path(), error))?;
        }
        drop(first);
        let reserve = (options.open_as == OpenAs::Serve).then(|| Reserve::of(lock.path()));
        let queue = |name| JobQueue::new(options.max_waiting, name, options.metrics.clone());
        let mut engine = Self {
            reads: Arc::new(queue(QueueName::Read)),
            lookups: Arc::new(queue(QueueName::Lookup)),
            writes: Arc::new(queue(QueueName::Write)),
            threads: Vec::new(),
            pool,
            shared: Arc::new(Shared {
                reserve,
                lock,
                freshness: Freshness::default(),
                checkpointer: Checkpointer::default(),
                open_reads: OpenReads::default(),
                rerun_writes: options.rerun_writes,
                busy_timeout: options.busy_timeout,
                max_log_bytes: sqlite.max_log_bytes,
                log_is_missing: last_use == LastUse::LogMissing,
                is_marked: options.open_as == OpenAs::Serve,
            }),
        };
        engine.start(options)?;
        Ok(engine)
    }

    /// If a thread cannot be started, dropping the half-built engine ends the others.
    fn start(&mut self, options: &StoreOptions) -> Result<(), OpenError> {
        let readers = (0..options.readers.max(1)).map(|number| {
            let name = format!("store-reader-{number}");
            (name, Arc::clone(&self.reads))
        });
        let lookups = ("store-lookup".to_owned(), Arc::clone(&self.lookups));
        for (name, queue) in readers.chain([lookups]).collect::<Vec<_>>() {
            self.spawn(name, move |connection, shared| {
                reader::run(connection, &queue, shared);
            })?;
        }
        let queue = Arc::clone(&self.writes);
        self.spawn("store-writer".to_owned(), move |connection, shared| {
            let wal = wal::Wal::new(connection, shared);
            writer::run(connection, &queue, shared, wal);
        })?;
        self.spawn("store-checkpoint".to_owned(), |connection, shared| {
            shared.checkpointer.run(connection, &shared.lock);
        })
    }

    fn spawn(
        &mut self,
        name: String,
        work: impl FnOnce(&rusqlite::Connection, &Shared) + Send + 'static,
    ) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.shared);
        let connection = connect::get(&self.pool, shared.lock.path())?;
        let run = move || {
            work(&connection, &shared);
            drop(connection);
            drop(shared);
        };
        let thread = thread::Builder::new().name(name).spawn(run);
        let thread = thread.map_err(|source| self.shared.lock.database().io(source))?;
        self.threads.push(thread);
        Ok(())
    }

    pub(super) fn read(&self, job: Box<dyn Job>) -> Result<(), Error> {
        self.reads.push(job)
    }

    pub(super) fn look_up(&self, job: Box<dyn Job>) -> Result<(), Error> {
        self.lookups.push(job)
    }

    pub(super) fn write(&self, job: Box<dyn Job>) -> Result<(), Error> {
        self.writes.push(job)
    }

    pub(super) fn disk_is_full(&self) -> bool {
        self.shared.reserve.as_ref().is_some_and(Reserve::is_spent)
    }

    pub(super) fn freshness(&self) -> &Freshness {
        &self.shared.freshness
    }

    /// Runs on a thread of its own, since it reads the whole file.
    pub(super) async fn check(&self) -> Result<Vec<String>, Error> {
        let pool = self.pool.clone();
        let shared = Arc::clone(&self.shared);
        let (reply, answer) = oneshot::channel();
        let work = move || {
            let findings = match pool.get() {
                Ok(connection) => {
                    let _read = shared.open_reads.open(&connection);
                    let missing = shared
                        .log_is_missing
                        .then(|| in_use::LOG_IS_MISSING.to_owned());
                    check::run(&connection).map(|found| missing.into_iter().chain(found).collect())
                }
                Err(error) => Err(fault::of_pool(error)),
            };
            drop(reply.send(findings));
            // The connections must be dropped first, as in the engine itself.
            drop(pool);
            drop(shared);
        };
        spawn_long("store-check", work)?;
        let findings = answer.await;
        findings.unwrap_or_else(|_| Err(Error::Panicked))
    }

    /// Copies the database on a thread of its own, which ends early if this future is dropped. `guard` is kept for as
    /// long as the thread or the copy.
    pub(super) async fn back_up(&self, guard: Box<dyn Send + Sync>) -> Result<Backup, Error> {
        let shared = Arc::clone(&self.shared);
        let (started, starting) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        let work = move || {
            let made = backup::make(&shared, guard, started);
            // If the caller is gone, so is the copy.
            drop(reply.send(made));
            drop(shared);
        };
        spawn_long("store-backup", work)?;
        let copying = starting.await.ok().map(backup::InterruptOnDrop::new);
        let made = answer.await;
        if let Some(copying) = copying {
            copying.disarm();
        }
        made.unwrap_or_else(|_| Err(Error::Panicked))
    }
}

/// Marks the file itself, not only its log. On a full disk it stays without the mark.
fn mark_in_use(connection: &rusqlite::Connection) -> Result<(), Error> {
    let marked = in_use::mark(connection)
        .and_then(|()| checkpoint::checkpoint(connection, CheckpointMode::Passive));
    match marked {
        Err(error) if error.is_failed_sync() => Err(error),
        Err(error) => {
            tracing::debug!(%error, "the database is not marked as in use");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Starts a thread for work that reads the whole file.
fn spawn_long(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(work).map_err(|error| Error::Unavailable {
        kind: Unavailable::Memory,
        source: Some(Arc::new(error)),
    });
    spawned.map(drop)
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.reads.close();
        self.lookups.close();
        self.writes.close();
        self.shared.checkpointer.close();
        let this = thread::current().id();
        for thread in self.threads.drain(..) {
            // A job may hold the last handle, and a thread cannot join itself.
            if thread.thread().id() != this {
                drop(thread.join());
            }
        }
    }
}

/// For unit tests of the tables: an in-memory database with the current schema.
#[cfg(test)]
pub(crate) fn in_memory() -> rusqlite::Connection {
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    connect::prepare(&mut connection, Duration::ZERO).unwrap();
    let options = StoreOptions::sqlite(PathBuf::new(), OpenAs::Serve);
    let change = SchemaChange::of(std::path::Path::new(""), 0, None);
    migrate::migrate(&mut connection, &change, &options).unwrap();
    connection
}

/// A transaction on such a database; it ends with the connection.
#[cfg(test)]
pub(crate) fn transaction(connection: &rusqlite::Connection) -> super::tx::Tx<'_> {
    connection.execute_batch("BEGIN").unwrap();
    super::tx::Tx::sqlite(session::Session::new(connection))
}
