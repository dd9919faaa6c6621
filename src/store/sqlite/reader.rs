//! The reader threads, and which read transactions are open. The log cannot restart while one is open. The writer does
//! not wait for a long one, and ends the oldest once the log has grown too much.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
    vec,
};

use rusqlite::{Connection, InterruptHandle};

use super::{Shared, fault, session::Session};
use crate::store::{
    engine::{freshness::Invalidations, job::Job, queue::JobQueue},
    tx::Tx,
};

/// Maximum number of reads in a transaction. It must stay short, or the write-ahead log grows behind it.
const MAX_BATCH: usize = 64;
/// Maximum age of a transaction. Once it is older, the next read begins another.
const MAX_AGE: Duration = Duration::from_millis(20);

/// Answers reads until the queue is closed.
pub(super) fn run(connection: &Connection, queue: &JobQueue, shared: &Shared) {
    let worker = queue.register();
    // A read that writes is a bug, which SQLite then refuses.
    let guarded = connection
        .pragma_update(None, "query_only", true)
        .map_err(fault::unavailable);
    while let Some(batch) = worker.take(MAX_BATCH) {
        let mut batch = batch.into_iter();
        while batch.len() > 0 {
            // The transaction begins after the batch was taken, so each read sees everything committed before it was
            // requested.
            let begun = guarded
                .clone()
                .and_then(|()| fault::statement(connection, "BEGIN"));
            match begun {
                Ok(()) => answer(connection, shared, &mut batch),
                Err(fault) => {
                    queue.failed();
                    for job in batch.by_ref() {
                        job.finish(Some(fault.clone()));
                    }
                }
            }
        }
    }
}

/// Answers the batch in one transaction, until that exceeds its maximum age.
fn answer(connection: &Connection, shared: &Shared, batch: &mut vec::IntoIter<Box<dyn Job>>) {
    let read = shared.open_reads.open(connection);
    let unchanged = Invalidations::default();
    let tx = Tx::sqlite(Session::new(connection)).after(&shared.freshness, &unchanged);
    for mut job in batch {
        if !job.is_abandoned() {
            job.run(&tx);
            job.finish(None);
        }
        if read.age() > MAX_AGE {
            break;
        }
    }
    // SQLite may have ended the transaction itself after an error.
    if !connection.is_autocommit() {
        // Nothing was written, so a failure here loses nothing.
        drop(fault::statement(connection, "ROLLBACK"));
    }
}

/// The open read transactions.
#[derive(Default)]
pub(super) struct OpenReads(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    /// By order of beginning.
    open: BTreeMap<u64, Transaction>,
}

struct Transaction {
    begun: Instant,
    handle: InterruptHandle,
    /// The log length in frames at which it is ended, if it has a limit of its own.
    max_frames: Option<u64>,
}

impl OpenReads {
    /// Registers a transaction that begins on `connection` now, until the returned value is dropped.
    pub(super) fn open(&self, connection: &Connection) -> OpenRead<'_> {
        self.register(connection, None)
    }

    /// The same for a transaction behind which the log may grow to this length.
    pub(super) fn open_until(&self, connection: &Connection, max_frames: u64) -> OpenRead<'_> {
        self.register(connection, Some(max_frames))
    }

    fn register(&self, connection: &Connection, max_frames: Option<u64>) -> OpenRead<'_> {
        let begun = Instant::now();
        let transaction = Transaction {
            begun,
            handle: connection.get_interrupt_handle(),
            max_frames,
        };
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number, transaction);
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
        oldest.map_or(Duration::ZERO, |(_, oldest)| oldest.begun.elapsed())
    }

    /// Interrupts the current statement of the oldest transaction, behind which the log has grown to `frames`, if that
    /// is the transaction's own limit or `max_frames`. If it is between two statements it goes on, so this must be called
    /// again until it ends.
    pub(super) fn end_oldest(&self, frames: u64, max_frames: u64) {
        // Under the lock, so that it cannot hit a later transaction on the same connection.
        let state = self.lock();
        let oldest = state.open.first_key_value().map(|(_, oldest)| oldest);
        if let Some(oldest) = oldest.filter(|t| frames >= t.max_frames.unwrap_or(max_frames)) {
            oldest.handle.interrupt();
        }
    }

    /// Interrupts the transactions that have a limit of their own: they need the room that the disk no longer has.
    pub(super) fn end_limited(&self) {
        let state = self.lock();
        let limited = state.open.values();
        for transaction in limited.filter(|transaction| transaction.max_frames.is_some()) {
            transaction.handle.interrupt();
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
