//! Checkpoints beside the writer: a thread of its own copies what the log holds into the database's file,
//! while the writer goes on.
//!
//! `SQLite` would do it within a commit, for which all that wait for that commit would wait, too. Only to begin
//! the log anew takes the writer itself ([`Wal`](super::wal::Wal)), and then nearly nothing is left to copy.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

/// The database's file must stay open as long as any connection to it is: to close it would drop the locks
/// that `SQLite` holds on it in this process.
#[derive(Debug)]
pub(super) struct Checkpoints {
    database: File,
    bell: Mutex<Bell>,
    rung: Condvar,
    /// Held by who makes a checkpoint.
    working: Mutex<()>,
}

#[derive(Debug, Default)]
struct Bell {
    rings: bool,
    closed: bool,
}

impl Checkpoints {
    /// Of the database at `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            database: File::open(path)?,
            bell: Mutex::default(),
            rung: Condvar::new(),
            working: Mutex::default(),
        })
    }

    /// Makes a checkpoint whenever it is told to, until it is closed.
    pub(super) fn run(&self, connection: &Connection) {
        while let Some(_working) = self.next() {
            let passive = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
            // SQLite syncs the file only where no commit came meanwhile. What is synced now, the writer need
            // not wait for. Whether either succeeds changes nothing: the log has it all.
            drop(passive);
            drop(self.database.sync_data());
        }
    }

    /// Asks for a checkpoint, without waiting for it.
    pub(super) fn ask(&self) {
        self.bell().rings = true;
        self.rung.notify_one();
    }

    /// The turn of the writer: none is made by the thread as long as it is held. `None`: the thread has one to
    /// make, and is not waited for.
    pub(super) fn take_turn(&self, wait: bool) -> Option<MutexGuard<'_, ()>> {
        if wait {
            return Some(self.working.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let working = self.working.try_lock().ok()?;
        (!self.bell().rings).then_some(working)
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.bell().closed = true;
        self.rung.notify_one();
    }

    fn next(&self) -> Option<MutexGuard<'_, ()>> {
        let quiet = |bell: &mut Bell| !bell.rings && !bell.closed;
        let bell = self.rung.wait_while(self.bell(), quiet);
        if bell.unwrap_or_else(PoisonError::into_inner).closed {
            return None;
        }
        let working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        // With the turn taken: who sees that it does not ring sees the turn taken.
        self.bell().rings = false;
        Some(working)
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
