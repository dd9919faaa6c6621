//! A mark in the database while a server has it open, by which a copy of the file alone is recognised: the mark is in the
//! file itself, and the log that belongs to it is missing.
//!
//! `SQLite` deletes the log when the database is closed, once everything is in the file; then the mark is gone, too. Another
//! program that opens the file of a killed server does that without removing the mark, which cannot be told apart.

use rusqlite::Connection;

use super::fault;
use crate::store::error::Error;

/// The finding about a file that is marked, and whose log is missing.
pub(super) const LOG_IS_MISSING: &str = "the database was in use when it was last written, and its log (-wal) is missing: unless another program opened the \
     file since and wrote the log into it, as sqlite3 does, what was written last is lost, and what was revoked then may be \
     valid, as in a copy of the file alone; then restore a backup";

/// Whether the file is marked.
pub(super) fn is_marked(connection: &Connection) -> Result<bool, Error> {
    let count = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let has_table = "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'";
    if count(has_table).map_err(fault::of)? == 0 {
        return Ok(false);
    }
    let marks = count("SELECT count(*) FROM meta WHERE key = 'in_use'");
    Ok(marks.map_err(fault::of)? > 0)
}

/// Marks the file.
pub(super) fn mark(connection: &Connection) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO meta (key, value) VALUES ('in_use', x'')";
    connection.execute(sql, ()).map(drop).map_err(fault::of)
}

/// Removes the mark.
pub(super) fn unmark(connection: &Connection) -> Result<(), Error> {
    let sql = "DELETE FROM meta WHERE key = 'in_use'";
    connection.execute(sql, ()).map(drop).map_err(fault::of)
}
