//! Checkpointer beside the writer: a thread of its own copies what the log holds into the database's file,
//! while the writer goes on, and looks once a second whether the file is still the one at its path.
//!
//! `SQLite` would do it within a commit, for which all that wait for that commit would wait, too. Only to begin
//! the log anew takes the writer itself ([`Wal`](super::wal::Wal)), and then nearly nothing is left to copy.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    checkpoint::{Mode, checkpoint},
    owner::Owner,
};

/// How often the path is looked at.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Checkpointer {
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

/// Nobody else makes a checkpoint meanwhile.
pub(super) type Turn<'a> = MutexGuard<'a, ()>;

impl Checkpointer {
    /// Makes a checkpoint whenever it is told to, until it is closed.
    pub(super) fn run(&self, connection: &Connection, owner: &Owner) {
        while let Some(turn) = self.next(owner) {
            // SQLite syncs the file only where no commit came meanwhile. What is synced now, the writer need
            // not wait for.
            let made = checkpoint(connection, Mode::Passive).and_then(|_| owner.sync());
            drop(turn);
            // One that fails in another way loses nothing: the log still has all.
            if let Err(error) = made {
                owner.end_on_failed_sync(&error);
            }
        }
    }

    /// Asks for a checkpoint, without waiting for it.
    pub(super) fn ask(&self) {
        self.bell().rings = true;
        self.rung.notify_one();
    }

    /// Waits for it.
    pub(super) fn turn(&self) -> Turn<'_> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: the thread makes one, or is about to.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let working = self.working.try_lock().ok()?;
        (!self.bell().rings).then_some(working)
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.bell().closed = true;
        self.rung.notify_one();
    }

    fn next(&self, owner: &Owner) -> Option<Turn<'_>> {
        loop {
            owner.check_path();
            let quiet = |bell: &mut Bell| !bell.rings && !bell.closed;
            let waited = self.rung.wait_timeout_while(self.bell(), LOOK, quiet);
            let (bell, time) = waited.unwrap_or_else(PoisonError::into_inner);
            if bell.closed {
                return None;
            }
            if !time.timed_out() {
                break;
            }
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
