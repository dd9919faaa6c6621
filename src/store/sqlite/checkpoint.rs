//! Runs checkpoints on a thread of its own while the writer goes on, and checks once a second that the file is still
//! the one at its path.
//!
//! `SQLite` would run them within a commit, and everyone waiting for that commit would wait for the checkpoint too.
//! Only restarting the log needs the writer itself ([`Wal`](super::wal::Wal)), when there is hardly anything left to
//! copy.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;

use super::{fault, lock::DatabaseLock};
use crate::store::error::Error;

/// How often the path is checked.
const PATH_CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Checkpointer {
    request: Mutex<Request>,
    changed: Condvar,
    /// Held while a checkpoint runs.
    working: Mutex<()>,
}

#[derive(Debug, Default)]
struct Request {
    is_pending: bool,
    closed: bool,
}

/// While this is held, nobody else runs a checkpoint.
pub(super) type CheckpointGuard<'a> = MutexGuard<'a, ()>;

impl Checkpointer {
    /// Runs a checkpoint whenever asked to, until it is closed.
    pub(super) fn run(&self, connection: &Connection, lock: &DatabaseLock) {
        while let Some(guard) = self.next(lock) {
            // SQLite syncs the file only if no commit came in meanwhile. What is synced here, the writer need not
            // wait for.
            let made = checkpoint(connection, CheckpointMode::Passive).and_then(|_| lock.sync());
            drop(guard);
            // Any other failure loses nothing: the log still has everything.
            if let Err(error) = made {
                lock.end_on_failed_sync(&error);
            }
        }
    }

    /// Requests a checkpoint without waiting for it.
    pub(super) fn request_checkpoint(&self) {
        self.request().is_pending = true;
        self.changed.notify_one();
    }

    /// Waits until no checkpoint runs, and keeps others from running one.
    pub(super) fn lock(&self) -> CheckpointGuard<'_> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if the thread runs a checkpoint or is about to.
    pub(super) fn try_lock(&self) -> Option<CheckpointGuard<'_>> {
        let working = self.working.try_lock().ok()?;
        (!self.request().is_pending).then_some(working)
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.request().closed = true;
        self.changed.notify_one();
    }

    fn next(&self, lock: &DatabaseLock) -> Option<CheckpointGuard<'_>> {
        loop {
            lock.check_path();
            let quiet = |request: &mut Request| !request.is_pending && !request.closed;
            let waited =
                self.changed
                    .wait_timeout_while(self.request(), PATH_CHECK_INTERVAL, quiet);
            let (request, time) = waited.unwrap_or_else(PoisonError::into_inner);
            if request.closed {
                return None;
            }
            if !time.timed_out() {
                break;
            }
        }
        let guard = self.lock();
        // Cleared only while holding the guard, so that whoever sees no request also sees the guard taken.
        self.request().is_pending = false;
        Some(guard)
    }

    fn request(&self) -> MutexGuard<'_, Request> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum CheckpointMode {
    /// Copies nothing, only reports.
    Noop,
    /// Copies what it can without waiting for readers.
    Passive,
    /// Waits for readers, so that the log can restart from its beginning.
    Restart,
    /// Like `Restart`, and truncates the log file.
    Truncate,
}

/// The result of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckpointResult {
    /// Whether a lock kept it from completing.
    pub(super) is_busy: bool,
    /// The number of frames in the log.
    pub(super) frames: u64,
    /// How many of them are in the database file.
    pub(super) copied: u64,
}

/// Runs a checkpoint (`SQLite`'s pragma.html, "PRAGMA `wal_checkpoint`").
pub(super) fn checkpoint(
    connection: &Connection,
    mode: CheckpointMode,
) -> Result<CheckpointResult, Error> {
    let sql = match mode {
        CheckpointMode::Noop => "PRAGMA wal_checkpoint(NOOP)",
        CheckpointMode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        CheckpointMode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        CheckpointMode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let run = || {
        connection.prepare_cached(sql)?.query_row((), |row| {
            let count = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(CheckpointResult {
                is_busy: count(0)? != 0,
                frames: count(1)?,
                copied: count(2)?,
            })
        })
    };
    run().map_err(fault::unavailable)
}
