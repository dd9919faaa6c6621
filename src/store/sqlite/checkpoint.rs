//! The one statement that copies the log into the database's file, and tells how far it came.

use rusqlite::Connection;

use super::fault;
use crate::store::error::Error;

/// How far a checkpoint goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// Copies nothing, and tells.
    Look,
    /// Copies what no reader stands in the way of.
    Passive,
    /// Waits for readers, so that the log begins anew.
    Restart,
    /// Likewise, and cuts the log's file.
    Truncate,
}

/// What a checkpoint came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    /// Whether something stood in the way of what was asked for.
    pub(super) is_busy: bool,
    /// How many frames the log has.
    pub(super) frames: u64,
    /// How many of them are in the database's file.
    pub(super) copied: u64,
}

/// Makes a checkpoint (`SQLite`'s pragma.html, "PRAGMA `wal_checkpoint`").
pub(super) fn checkpoint(connection: &Connection, mode: Mode) -> Result<Log, Error> {
    let sql = match mode {
        Mode::Look => "PRAGMA wal_checkpoint(NOOP)",
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let run = || {
        connection.prepare_cached(sql)?.query_row((), |row| {
            let count = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(Log {
                is_busy: count(0)? != 0,
                frames: count(1)?,
                copied: count(2)?,
            })
        })
    };
    run().map_err(fault::unavailable)
}
