//! `SQLite` behind the store: the only place that names its driver.
//!
//! What every request needs is answered by reader threads, lookups of credentials by one of their own, what
//! changes anything by one writer thread; each keeps its connection for life. Threads of our own and a oneshot
//! back cost a lookup half of what a pool and blocking tasks do, and one transaction over all that waits
//! together halves it again.

mod check;
mod checkpoints;
mod commits;
mod connect;
mod fault;
mod identity;
mod migrate;
#[cfg(test)]
mod plans;
mod preflight;
mod queue;
mod reader;
mod reserve;
mod schema;
pub(super) mod session;
mod wal;
mod writer;

use std::{
    fs::File,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    error::{Error, Unavailable},
    freshness::Stamp,
    job::Job,
    open::{OpenAs, OpenError, StoreOptions},
};
use crate::{domain::id::TokenId, metrics::QueueName};
use checkpoints::Checkpoints;
use commits::Commits;
use connect::Pool;
use identity::{Identity, Watch};
use preflight::Place;
use queue::Queue;
use reserve::Reserve;

/// An open `SQLite` database and the threads that work on it.
#[derive(Debug)]
pub(super) struct Engine {
    reads: Arc<Queue>,
    /// Of credentials: no list, search or count is ever before one of these.
    lookups: Arc<Queue>,
    writes: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    pool: Pool,
    /// After the connections: see there. A tool has none: it looks at no token twice.
    commits: Option<Arc<Commits>>,
    /// After the connections, too.
    checkpoints: Option<Arc<Checkpoints>>,
    /// A tool has none.
    reserve: Option<Arc<Reserve>>,
    /// Held to the end: while it is locked no other server opens the file.
    _serve_lock: Option<File>,
}

impl Engine {
    pub(super) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let place = Place::find(options)?;
        let serve_lock = match options.open_as {
            OpenAs::Serve => Some(place.lock_and_create()?),
            OpenAs::Tool => None,
        };
        let manager = connect::manager(&place.path, options.busy_timeout);
        let prepare = || migrate::prepare(&manager, &place.path, options.open_as);
        prepare().or_else(|refusal| {
            // SQLite needs some room to begin on a full disk.
            let may_give = options.open_as == OpenAs::Serve && refusal.may_be_full();
            if may_give && Reserve::release_of(&place.path) {
                prepare()
            } else {
                Err(refusal)
            }
        })?;
        let pool = connect::pool(manager, options)?;
        if options.open_as == OpenAs::Serve {
            // A tool may go on: one of them tells what is damaged.
            schema::refuse_damaged(&*connect::get(&pool, &place.path)?, &place.path)?;
        }
        let io = |source| OpenError::Io {
            path: place.path.clone(),
            source,
        };
        let identity = Identity::of(&place.path).map_err(io)?;
        let commits = match options.open_as {
            OpenAs::Serve => Commits::of(&place.path, identity.clone()).ok(),
            OpenAs::Tool => None,
        };
        let checkpoints = match &commits {
            Some(_) => Some(Checkpoints::of(&place.path).map_err(io)?),
            None => None,
        };
        let queue = |name| Queue::new(options.max_waiting, name, options.metrics.clone());
        let mut engine = Self {
            reads: Arc::new(queue(QueueName::Read)),
            lookups: Arc::new(queue(QueueName::Lookup)),
            writes: Arc::new(queue(QueueName::Write)),
            threads: Vec::new(),
            pool,
            commits: commits.map(Arc::new),
            checkpoints: checkpoints.map(Arc::new),
            reserve: None,
            _serve_lock: serve_lock,
        };
        if options.open_as == OpenAs::Serve {
            engine.reserve = Some(Arc::new(Reserve::of(&place.path)));
        }
        engine.start(options, &place, &identity)?;
        Ok(engine)
    }

    /// A thread that cannot start ends the ones before it: the half-made engine is dropped.
    fn start(
        &mut self,
        options: &StoreOptions,
        place: &Place,
        identity: &Identity,
    ) -> Result<(), OpenError> {
        let io = |source| OpenError::Io {
            path: place.path.clone(),
            source,
        };
        let readers = (0..options.readers.max(1)).map(|number| {
            let name = format!("store-reader-{number}");
            (name, Arc::clone(&self.reads))
        });
        let lookups = ("store-lookup".to_owned(), Arc::clone(&self.lookups));
        for (name, queue) in readers.chain([lookups]).collect::<Vec<_>>() {
            let connection = connect::get(&self.pool, &place.path)?;
            let reader = thread::Builder::new().name(name);
            let watch = Watch::new(identity.clone());
            let work = move || reader::run(&connection, &queue, &watch);
            self.threads.push(reader.spawn(work).map_err(io)?);
        }
        let connection = connect::get(&self.pool, &place.path)?;
        let queue = Arc::clone(&self.writes);
        let wal = wal::Wal::new(&place.path, options);
        let writer = thread::Builder::new().name("store-writer".to_owned());
        let identity = identity.clone();
        let (commits, checkpoints) = (self.commits.clone(), self.checkpoints.clone());
        let reserve = self.reserve.clone();
        let work = move || {
            let both = commits.as_deref().zip(checkpoints.as_deref());
            let served = both.map(|(commits, checkpoints)| wal::Served {
                commits,
                checkpoints,
            });
            let (served, reserve) = (served.as_ref(), reserve.as_deref());
            writer::run(&connection, &queue, &identity, served, reserve, wal);
        };
        self.threads.push(writer.spawn(work).map_err(io)?);
        if let Some((commits, checkpoints)) = self.commits.clone().zip(self.checkpoints.clone()) {
            let connection = connect::get(&self.pool, &place.path)?;
            let thread = thread::Builder::new().name("store-checkpoint".to_owned());
            let work = move || checkpoints.run(&connection, &commits);
            self.threads.push(thread.spawn(work).map_err(io)?);
        }
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
        self.reserve.as_deref().is_some_and(Reserve::is_spent)
    }

    pub(super) fn stamp(&self, id: TokenId) -> Option<Stamp> {
        self.commits.as_ref()?.stamp(id)
    }

    /// On a thread of its own: it reads the whole file.
    pub(super) async fn check(&self) -> Result<Vec<String>, Error> {
        let pool = self.pool.clone();
        let open = (self.commits.clone(), self.checkpoints.clone());
        let (reply, answer) = oneshot::channel();
        let work = move || {
            let findings = match pool.get() {
                Ok(connection) => check::run(&connection),
                Err(error) => Err(fault::of_pool(error)),
            };
            drop(reply.send(findings));
            // The connections first, as in the engine itself.
            drop(pool);
            drop(open);
        };
        let checker = thread::Builder::new().name("store-check".to_owned());
        checker.spawn(work).map_err(|error| Error::Unavailable {
            kind: Unavailable::Memory,
            source: Some(Arc::new(error)),
        })?;
        let findings = answer.await;
        findings.unwrap_or_else(|_| Err(Error::Panicked))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.reads.close();
        self.lookups.close();
        self.writes.close();
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.close();
        }
        let this = thread::current().id();
        for thread in self.threads.drain(..) {
            // A piece of work may hold the last handle; its own thread ends by itself.
            if thread.thread().id() != this {
                drop(thread.join());
            }
        }
    }
}

/// What the unit tests of the tables run on: a database with the present schema, in memory.
#[cfg(test)]
pub(super) fn in_memory() -> rusqlite::Connection {
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    connection
        .pragma_update(None, "foreign_keys", true)
        .unwrap();
    migrate::migrate(&mut connection).unwrap();
    connection
}

/// A transaction on such a database; it goes with it.
#[cfg(test)]
pub(super) fn transaction(connection: &rusqlite::Connection) -> super::tx::Tx<'_> {
    connection.execute_batch("BEGIN").unwrap();
    super::tx::Tx::sqlite(session::Session::new(connection))
}
