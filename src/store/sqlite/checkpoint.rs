//! Runs a checkpoint, which copies the write-ahead log into the database file, and reports its progress.

use rusqlite::Connection;

use super::fault;
use crate::store::error::Error;

/// The kind of checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum CheckpointMode {
    /// Copies nothing, only reports.
    Noop,
    /// Copies what it can without waiting for readers.
    Passive,
    /// Waits for readers, so that the log can restart from its beginning.
    Restart,
    /// Like `Restart`, and truncates the log file.
    Truncate,
}

/// The result of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckpointResult {
    /// Whether a lock kept it from completing.
    pub(super) is_busy: bool,
    /// The number of frames in the log.
    pub(super) frames: u64,
    /// How many of them are in the database file.
    pub(super) copied: u64,
}

/// Runs a checkpoint (`SQLite`'s pragma.html, "PRAGMA `wal_checkpoint`").
pub(super) fn checkpoint(
    connection: &Connection,
    mode: CheckpointMode,
) -> Result<CheckpointResult, Error> {
    let sql = match mode {
        CheckpointMode::Noop => "PRAGMA wal_checkpoint(NOOP)",
        CheckpointMode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        CheckpointMode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        CheckpointMode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let run = || {
        connection.prepare_cached(sql)?.query_row((), |row| {
            let count = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(CheckpointResult {
                is_busy: count(0)? != 0,
                frames: count(1)?,
                copied: count(2)?,
            })
        })
    };
    run().map_err(fault::unavailable)
}
