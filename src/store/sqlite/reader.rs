//! A thread that reads.

use rusqlite::Connection;

use super::{fault, identity::Watch, queue::Queue, session::Session};
use crate::store::{job::Job, tx::Tx};

/// So many reads share a transaction at most: it must stay short, or the write-ahead log grows behind it.
const MAX_BATCH: usize = 64;

/// Answers until the queue is closed.
pub(super) fn run(connection: &Connection, queue: &Queue, watch: &Watch) {
    let seat = queue.join();
    // A read that writes is a mistake; SQLite refuses it.
    let guarded = connection
        .pragma_update(None, "query_only", true)
        .map_err(fault::unavailable);
    while let Some(batch) = seat.take(MAX_BATCH) {
        // The transaction begins after the batch was taken, so no read sees less than what was committed
        // before it was asked for.
        let begun = guarded
            .clone()
            .and_then(|()| watch.check())
            .and_then(|()| fault::statement(connection, "BEGIN"));
        match begun {
            Ok(()) => answer(connection, batch),
            Err(fault) => {
                queue.failed();
                for job in batch {
                    job.settle(Some(fault.clone()));
                }
            }
        }
    }
}

fn answer(connection: &Connection, batch: Vec<Box<dyn Job>>) {
    let tx = Tx::sqlite(Session::new(connection));
    for mut job in batch {
        if !job.is_abandoned() {
            job.run(&tx);
            job.settle(None);
        }
    }
    // SQLite may have ended it by itself after an error.
    if !connection.is_autocommit() {
        // Nothing was written, so there is nothing that a failure could lose.
        drop(fault::statement(connection, "ROLLBACK"));
    }
}
