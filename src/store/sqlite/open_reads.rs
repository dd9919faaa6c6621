//! Tracks open read transactions and their age. The log cannot restart while one is open. The writer does not wait
//! for a long one, and ends the oldest once the log has grown too much.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, InterruptHandle};

#[derive(Default)]
pub(super) struct OpenReads(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    /// By order of beginning.
    open: BTreeMap<u64, (Instant, InterruptHandle)>,
}

impl OpenReads {
    /// Registers a transaction that begins on `connection` now, until the returned value is dropped.
    pub(super) fn open(&self, connection: &Connection) -> OpenRead<'_> {
        let (begun, handle) = (Instant::now(), connection.get_interrupt_handle());
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number, (begun, handle));
        OpenRead {
            reads: self,
            number,
            begun,
        }
    }

    /// The age of the oldest transaction; zero if there is none.
    pub(super) fn oldest(&self) -> Duration {
        let state = self.lock();
        let oldest = state.open.first_key_value();
        oldest.map_or(Duration::ZERO, |(_, (begun, _))| begun.elapsed())
    }

    /// Interrupts the oldest transaction's current statement. If it is between two statements it goes on, so this
    /// must be called again until it ends.
    pub(super) fn end_oldest(&self) {
        // Under the lock, so that it cannot hit a later transaction on the same connection.
        if let Some((_, (_, handle))) = self.lock().open.first_key_value() {
            handle.interrupt();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OpenReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().open.keys()).finish()
    }
}

pub(super) struct OpenRead<'a> {
    reads: &'a OpenReads,
    number: u64,
    begun: Instant,
}

impl OpenRead<'_> {
    /// How long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for OpenRead<'_> {
    fn drop(&mut self) {
        self.reads.lock().open.remove(&self.number);
    }
}
