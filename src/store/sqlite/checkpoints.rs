//! Checkpoints beside the writer: a thread of its own copies what the log holds into the database's file,
//! while the writer goes on.
//!
//! `SQLite` would do it within a commit, for which all that wait for that commit would wait, too. Only to begin
//! the log anew takes the writer itself ([`Wal`](super::wal::Wal)), and then nearly nothing is left to copy.
//!
//! What `SQLite` takes for copied it does not copy again, and where commits come meanwhile it takes pages for
//! copied before any sync. A kernel takes what it could not write for written: after a sync that failed the next
//! one says nothing of the pages that are lost. So after a failure all that the log holds is copied anew.

use std::{
    error::Error,
    fs::File,
    io,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::commits::Commits;

/// The database's file must stay open as long as any connection to it is: to close it would drop the locks
/// that `SQLite` holds on it in this process.
#[derive(Debug)]
pub(super) struct Checkpoints {
    database: File,
    bell: Mutex<Bell>,
    rung: Condvar,
    /// Held by who makes a checkpoint.
    working: Mutex<InDoubt>,
}

/// Whether `SQLite` takes pages for copied that may be lost.
type InDoubt = bool;

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
    pub(super) fn run(&self, connection: &Connection, commits: &Commits) {
        let make = || -> Result<(), Box<dyn Error>> {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
            // SQLite syncs the file only where no commit came meanwhile. What is synced now, the writer need
            // not wait for.
            Ok(self.database.sync_data()?)
        };
        while let Some(mut turn) = self.next() {
            // One that fails loses nothing: the log still has all.
            let _made: Option<()> = turn.attempt(commits, make);
        }
    }

    /// Asks for a checkpoint, without waiting for it.
    pub(super) fn ask(&self) {
        self.bell().rings = true;
        self.rung.notify_one();
    }

    /// Waits for it.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn(self.working.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None`: the thread makes one, or is about to.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let working = self.working.try_lock().ok()?;
        (!self.bell().rings).then_some(Turn(working))
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.bell().closed = true;
        self.rung.notify_one();
    }

    fn next(&self) -> Option<Turn<'_>> {
        let quiet = |bell: &mut Bell| !bell.rings && !bell.closed;
        let bell = self.rung.wait_while(self.bell(), quiet);
        if bell.unwrap_or_else(PoisonError::into_inner).closed {
            return None;
        }
        let turn = self.turn();
        // With the turn taken: who sees that it does not ring sees the turn taken.
        self.bell().rings = false;
        Some(turn)
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody else makes a checkpoint meanwhile.
pub(super) struct Turn<'a>(MutexGuard<'a, InDoubt>);

impl Turn<'_> {
    /// What `make` comes to. `None`: nothing may be taken for copied by it.
    pub(super) fn attempt<T, E>(
        &mut self,
        commits: &Commits,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Option<T> {
        self.clear_doubt(commits);
        if *self.0 {
            return None;
        }
        let made = make();
        *self.0 = made.is_err();
        // At once: another process's checkpoint might be next.
        self.clear_doubt(commits);
        made.ok()
    }

    fn clear_doubt(&mut self, commits: &Commits) {
        *self.0 = *self.0 && commits.copy_anew().is_err();
    }
}
