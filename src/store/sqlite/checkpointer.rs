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

use super::{
    checkpoint::{Mode, checkpoint},
    owner::Owner,
};

/// How often the path is checked.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Checkpointer {
    bell: Mutex<Bell>,
    rung: Condvar,
    /// Held while a checkpoint runs.
    working: Mutex<()>,
}

#[derive(Debug, Default)]
struct Bell {
    rings: bool,
    closed: bool,
}

/// While this is held, nobody else runs a checkpoint.
pub(super) type Turn<'a> = MutexGuard<'a, ()>;

impl Checkpointer {
    /// Runs a checkpoint whenever asked to, until it is closed.
    pub(super) fn run(&self, connection: &Connection, owner: &Owner) {
        while let Some(turn) = self.next(owner) {
            // SQLite syncs the file only if no commit came in meanwhile. What is synced here, the writer need not
            // wait for.
            let made = checkpoint(connection, Mode::Passive).and_then(|_| owner.sync());
            drop(turn);
            // Any other failure loses nothing: the log still has everything.
            if let Err(error) = made {
                owner.end_on_failed_sync(&error);
            }
        }
    }

    /// Requests a checkpoint without waiting for it.
    pub(super) fn ask(&self) {
        self.bell().rings = true;
        self.rung.notify_one();
    }

    /// Waits until no checkpoint runs, and keeps others from running one.
    pub(super) fn turn(&self) -> Turn<'_> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if the thread runs a checkpoint or is about to.
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
        // Cleared only while holding the turn, so that whoever sees no request also sees the turn taken.
        self.bell().rings = false;
        Some(turn)
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
