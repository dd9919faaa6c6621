//! A thread that answers reads.

use std::{time::Duration, vec};

use rusqlite::Connection;

use super::{fault, queue::JobQueue, session::Session, shared::Shared};
use crate::store::{job::Job, tx::Tx};

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
    let tx = Tx::sqlite(Session::new(connection));
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
