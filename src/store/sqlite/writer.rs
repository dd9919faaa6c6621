//! The one thread that writes. It commits the requests that wait together in one transaction, each in a
//! savepoint of its own, and never waits for more: a lone caller pays for nobody.

use std::time::Instant;

use rusqlite::Connection;

use super::{fault, queue::Queue, reserve, session::Session, shared::Shared, wal::Wal};
use crate::store::{
    error::{Error, Unavailable},
    freshness::Changes,
    job::Job,
    tx::Tx,
};

/// So many writes share a commit at most.
const MAX_BATCH: usize = 256;

/// Writes until the queue is closed, then leaves the log empty.
pub(super) fn run(connection: &Connection, queue: &Queue, shared: &Shared, mut wal: Wal<'_>) {
    let seat = queue.join();
    while let Some(batch) = seat.take(MAX_BATCH) {
        let batch = match &shared.reserve {
            Some(reserve) => reserve.admit(batch),
            None => batch,
        };
        if let Err(fault) = write(connection, queue, shared, batch)
            && is_busy(&fault)
        {
            // These have waited for the same lock. Waiting anew for each batch would take a request beyond its
            // deadline, whose error does not say that nothing was written.
            fail(queue.take_waiting().into_iter(), &fault);
        }
        wal.keep_short();
    }
    wal.empty();
}

/// An error: the transaction could not be begun.
fn write(
    connection: &Connection,
    queue: &Queue,
    shared: &Shared,
    batch: Vec<Box<dyn Job>>,
) -> Result<(), Error> {
    let mut waiting = batch
        .into_iter()
        .filter(|job| !job.is_abandoned())
        .peekable();
    if waiting.peek().is_none() {
        return Ok(());
    }
    // A microsecond or two, for a write that nobody would find again.
    shared.owner.check_path();
    if let Err(fault) = fault::statement(connection, "BEGIN IMMEDIATE") {
        shared.owner.end_on_failed_sync(&fault);
        queue.failed();
        fail(waiting, &fault);
        return Err(fault);
    }
    let mut changes = Changes::default();
    let mut done = Vec::new();
    let undone = loop {
        let Some(mut job) = waiting.next() else {
            let begin = Instant::now();
            let committed = fault::statement(connection, "COMMIT");
            queue.committed(done.len(), begin.elapsed());
            break committed.err().map(|fault| judge(shared, fault));
        };
        let (wrote, fault) = run_in_savepoint(connection, shared, job.as_mut());
        let succeeded = wrote.is_some();
        changes.add(wrote.unwrap_or_default());
        match fault {
            None => done.push(job),
            // It is undone like the others, and done again if it may.
            Some(fault) if fault.is_full_disk() => {
                done.push(job);
                break Some(fault);
            }
            Some(fault) => {
                // The culprit's own error says more than that the batch was undone.
                job.settle(succeeded.then(|| fault.clone()));
                break Some(fault);
            }
        }
    };
    // Also where it failed: what is made stale for nothing is only read once more.
    shared.freshness.committed(&changes);
    // No outcome is told before the commit, refusals neither: they may rest on what a neighbour wrote.
    match undone {
        None => done.into_iter().for_each(|job| job.settle(None)),
        Some(fault) => {
            shared.owner.end_on_failed_sync(&fault);
            queue.failed();
            if !connection.is_autocommit() {
                drop(fault::statement(connection, "ROLLBACK"));
            }
            let undone = done.into_iter().chain(waiting);
            let Some(reserve) = &shared.reserve else {
                fail(undone, &fault);
                return Ok(());
            };
            let revocations = reserve.yield_to(undone.collect(), &fault);
            // Once more at most: there is no second reserve.
            return write(connection, queue, shared, revocations);
        }
    }
    Ok(())
}

const fn is_busy(fault: &Error) -> bool {
    matches!(
        fault,
        Error::Unavailable {
            kind: Unavailable::Busy,
            ..
        }
    )
}

/// What the job changed if it succeeded, and what then went wrong with the whole transaction.
fn run_in_savepoint(
    connection: &Connection,
    shared: &Shared,
    job: &mut dyn Job,
) -> (Option<Changes>, Option<Error>) {
    if let Err(fault) = fault::statement(connection, "SAVEPOINT write") {
        return (Some(Changes::default()), Some(fault));
    }
    let tx = Tx::sqlite(Session::new(connection));
    let succeeded = job.run(&tx);
    if let Some(error) = tx.failed_sync() {
        shared.owner.end_on_failed_sync(&error);
    }
    let is_full =
        tx.met_full_disk() || tx.met_failed_write() && reserve::is_out_of_room(shared.owner.path());
    let changes = succeeded.then(|| tx.into_changes());
    if is_full {
        return (changes, Some(Error::unavailable(Unavailable::Full)));
    }
    if connection.is_autocommit() {
        let fault = Error::unavailable(Unavailable::RolledBack);
        return (changes, Some(fault));
    }
    let undone = if succeeded {
        Ok(())
    } else {
        fault::statement(connection, "ROLLBACK TO write")
    };
    let ended = undone.and_then(|()| fault::statement(connection, "RELEASE write"));
    (changes, ended.err())
}

/// The fault, as a full disk where it is one.
fn judge(shared: &Shared, fault: Error) -> Error {
    if fault::is_failed_write(&fault) && reserve::is_out_of_room(shared.owner.path()) {
        Error::unavailable(Unavailable::Full)
    } else {
        fault
    }
}

fn fail(jobs: impl Iterator<Item = Box<dyn Job>>, fault: &Error) {
    jobs.for_each(|job| job.settle(Some(fault.clone())));
}
