//! Which read transactions are open, and since when. The log cannot begin anew behind one: the writer waits
//! for none that is long, and ends the oldest where the log has grown too much.

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
    /// By their beginning.
    open: BTreeMap<u64, (Instant, InterruptHandle)>,
}

impl OpenReads {
    /// The transaction that begins on `connection` now and ends with what is returned.
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

    /// For how long the oldest is open; zero where none is.
    pub(super) fn oldest(&self) -> Duration {
        let state = self.lock();
        let oldest = state.open.first_key_value();
        oldest.map_or(Duration::ZERO, |(_, (begun, _))| begun.elapsed())
    }

    /// Makes the statement fail that the oldest is at. One that is between two statements goes on: to be called
    /// again while it does.
    pub(super) fn end_oldest(&self) {
        // Under the lock, so that no later transaction of the same connection is hit.
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

/// A read transaction.
pub(super) struct OpenRead<'a> {
    reads: &'a OpenReads,
    number: u64,
    begun: Instant,
}

impl OpenRead<'_> {
    /// For how long it is open.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for OpenRead<'_> {
    fn drop(&mut self) {
        self.reads.lock().open.remove(&self.number);
    }
}
