//! The single writer thread. It commits all queued requests in one transaction, and never waits for more to arrive, so
//! batching does not delay a lone request.
//!
//! A savepoint for each request costs an eighth of the writer's time, so there is none until a request fails. Then the
//! transaction begins again, and each has a savepoint.

use std::{error::Error as StdError, time::Instant};

use rusqlite::Connection;

use super::{Shared, fault, reserve, session::Session, wal::Wal};
use crate::store::{
    engine::{freshness::Invalidations, job::Job, queue::JobQueue},
    error::{Error, Unavailable},
    tx::{Trace, Tx},
};

/// Maximum number of writes in a commit.
const MAX_BATCH: usize = 256;

/// Writes until the queue is closed, then truncates the log.
pub(super) fn run(connection: &Connection, queue: &JobQueue, shared: &Shared, mut wal: Wal<'_>) {
    let worker = queue.register();
    while let Some(batch) = worker.take(MAX_BATCH) {
        let batch = match &shared.reserve {
            Some(reserve) => reserve.admit(batch),
            None => batch,
        };
        if let Err(fault) = write(connection, queue, shared, batch)
            && is_busy(&fault)
        {
            // These have waited for the same lock. Waiting again for each batch would take requests past their
            // deadlines, and that error does not say that nothing was written.
            fail(queue.take_waiting().into_iter(), &fault);
        }
        wal.keep_short();
    }
    wal.empty();
}

/// Writes a batch. Fails if the transaction could not be begun.
fn write(
    connection: &Connection,
    queue: &JobQueue,
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
    // This takes a microsecond or two, and prevents writes that nobody would find.
    shared.lock.check_path();
    if let Err(fault) = fault::statement(connection, "BEGIN IMMEDIATE") {
        shared.lock.end_on_failed_sync(&fault);
        queue.failed();
        fail(waiting, &fault);
        return Err(fault);
    }
    let mut changes = Invalidations::default();
    let mut done = Vec::new();
    // To run a write twice, the first run must be undone.
    let mut in_savepoints = shared.rerun_writes;
    let undone = loop {
        let Some(mut job) = waiting.next() else {
            let begin = Instant::now();
            let committed = fault::statement(connection, "COMMIT");
            queue.committed(done.len(), begin.elapsed());
            break committed.err().map(|fault| find_cause(shared, fault));
        };
        let (wrote, mut fault) = if in_savepoints {
            run_in_savepoint(connection, shared, &changes, job.as_mut())
        } else {
            run_job(connection, shared, &changes, job.as_mut())
        };
        let succeeded = wrote.is_some();
        changes.add(wrote.unwrap_or_default());
        if !succeeded && !in_savepoints && fault.is_none() {
            in_savepoints = true;
            fault = begin_again(connection, shared, &mut changes, &mut done).err();
        }
        match fault {
            None => done.push(job),
            // Rolled back like the others, and retried if it is a revocation.
            Some(fault) if fault.is_full_disk() => {
                done.push(job);
                break Some(fault);
            }
            Some(fault) => {
                // The failed job's own error says more than that the batch was rolled back.
                job.finish(succeeded.then(|| fault.clone()));
                break Some(fault);
            }
        }
    };
    // Also after a failure: making too much stale only costs an extra read.
    shared.freshness.committed(&changes);
    // No result is sent before the commit, not even a refusal: it may depend on what another job in the batch wrote.
    match undone {
        None => {
            shared.freshness.appended(&changes);
            for job in done {
                job.finish(None);
            }
        }
        Some(fault) => {
            shared.lock.end_on_failed_sync(&fault);
            queue.failed();
            if !connection.is_autocommit() {
                drop(fault::statement(connection, "ROLLBACK"));
            }
            let undone = done.into_iter().chain(waiting);
            if fault.is_full_disk() {
                shared.open_reads.end_limited();
            }
            let Some(reserve) = &shared.reserve else {
                fail(undone, &fault);
                return Ok(());
            };
            let revocations = reserve.release_for(undone.collect(), &fault);
            // At most one retry, since there is only one reserve.
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

/// Undoes a transaction in which a job failed, and runs those before it again.
fn begin_again(
    connection: &Connection,
    shared: &Shared,
    changes: &mut Invalidations,
    done: &mut [Box<dyn Job>],
) -> Result<(), Error> {
    fault::statement(connection, "ROLLBACK")?;
    fault::statement(connection, "BEGIN IMMEDIATE")?;
    for job in done {
        let (wrote, fault) = run_in_savepoint(connection, shared, changes, job.as_mut());
        changes.add(wrote.unwrap_or_default());
        fault.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Like [`run_job`], and what a job wrote that failed is undone.
fn run_in_savepoint(
    connection: &Connection,
    shared: &Shared,
    before: &Invalidations,
    job: &mut dyn Job,
) -> (Option<Invalidations>, Option<Error>) {
    if let Err(fault) = fault::statement(connection, "SAVEPOINT write") {
        return (Some(Invalidations::default()), Some(fault));
    }
    let (changes, fault) = run_job(connection, shared, before, job);
    if fault.is_some() {
        return (changes, fault);
    }
    let undone = if changes.is_some() {
        Ok(())
    } else {
        fault::statement(connection, "ROLLBACK TO write")
    };
    let ended = undone.and_then(|()| fault::statement(connection, "RELEASE write"));
    (changes, ended.err())
}

/// What the job changed, if it succeeded, and the fault that ended the whole transaction, if any. `before`: what others
/// changed in the transaction.
fn run_job(
    connection: &Connection,
    shared: &Shared,
    before: &Invalidations,
    job: &mut dyn Job,
) -> (Option<Invalidations>, Option<Error>) {
    let new_tx = || Tx::sqlite(Session::new(connection)).after(&shared.freshness, before);
    let mut tx = new_tx();
    let mut first_run = None;
    if shared.rerun_writes {
        first_run = run_and_undo(connection, new_tx(), job);
        tx = tx.traced();
    }
    let succeeded = job.run(&tx);
    if let Err(fault) = compare(first_run, tx.take_trace()) {
        return (Some(Invalidations::default()), Some(fault));
    }
    if let Some(error) = tx.failed_sync() {
        shared.lock.end_on_failed_sync(&error);
    }
    let is_full =
        tx.met_full_disk() || tx.met_failed_write() && reserve::is_out_of_room(shared.lock.path());
    let changes = succeeded.then(|| tx.into_invalidations());
    if is_full {
        return (changes, Some(Error::unavailable(Unavailable::Full)));
    }
    let is_rolled_back = connection.is_autocommit();
    let fault = is_rolled_back.then(|| Error::unavailable(Unavailable::RolledBack));
    (changes, fault)
}

/// Runs the job and undoes it, as after a conflict, and returns the statements that it ran.
fn run_and_undo(connection: &Connection, tx: Tx<'_>, job: &mut dyn Job) -> Option<Trace> {
    let mut tx = tx.traced();
    job.run(&tx);
    if !connection.is_autocommit() {
        // If this fails, so does the second run.
        drop(fault::statement(connection, "ROLLBACK TO write"));
    }
    tx.take_trace()
}

/// Refuses a write that did something else the second time: one that draws the time or randomness, or changes what it
/// captured.
fn compare(first: Option<Trace>, second: Option<Trace>) -> Result<(), Error> {
    let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
    if first == second {
        return Ok(());
    }
    let differs = first.iter().zip(&second).find(|(one, other)| one != other);
    let sql = differs.map_or("another number of statements", |(_, (sql, _))| sql);
    let source = format!("a write does something else when it runs again: {sql}");
    Err(Error::Statement {
        source: Box::<dyn StdError + Send + Sync>::from(source).into(),
    })
}

/// Turns a failed write into a full disk, if that is the cause.
fn find_cause(shared: &Shared, fault: Error) -> Error {
    if fault::is_failed_write(&fault) && reserve::is_out_of_room(shared.lock.path()) {
        Error::unavailable(Unavailable::Full)
    } else {
        fault
    }
}

fn fail(jobs: impl Iterator<Item = Box<dyn Job>>, fault: &Error) {
    jobs.for_each(|job| job.finish(Some(fault.clone())));
}
