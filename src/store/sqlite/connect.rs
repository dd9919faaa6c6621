//! Opens all connections and sets what each of them needs.

use std::{os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use r2d2::PooledConnection;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::fault;
use crate::store::open::{OpenError, StoreOptions};

pub(super) type Pool = r2d2::Pool<SqliteConnectionManager>;

/// More than there are distinct statements.
const STATEMENTS: usize = 128;

/// `synchronous = FULL` makes a commit durable before it returns. `wal.rs` runs the checkpoints, not commits. When
/// the log restarts, its file is truncated to `journal_size_limit` bytes; it is usually shorter.
const PRAGMAS: &str = "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; \
                       PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; \
                       PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 12582912;";

/// Never creates a file, and does not accept URIs. Each connection is used by one thread at a time.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens connections to the file at `path`, which must exist.
pub(super) fn manager(path: &Path, busy_timeout: Duration) -> SqliteConnectionManager {
    SqliteConnectionManager::file(path)
        .with_flags(FLAGS)
        .with_init(move |connection| prepare(connection, busy_timeout))
}

/// The owner's first connection, which requires that no other has the file open. It keeps the log's index in its own
/// memory, and rebuilds it from the log alone (`SQLite`'s wal.html, "Use of WAL Without Shared-Memory").
pub(super) fn exclusive(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(path, FLAGS)?;
    // Must come before anything that reads the file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    prepare(&mut connection, busy_timeout)?;
    Ok(connection)
}

/// Reads a file that has no log and that nobody changes meanwhile, without locks and without new files next to it.
pub(super) fn unopened(path: &Path) -> rusqlite::Result<Connection> {
    let path = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

/// Configures a new connection.
pub(super) fn prepare(connection: &mut Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise SQLite recompiles some statements on every run, in case the bound values call for another plan: a
    // quarter of the cost of a list.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(PRAGMAS)
}

/// A pool that opens connections on demand: one per reader, and one each for lookups, the writer, checkpoints and
/// checks.
pub(super) fn pool(path: &Path, options: &StoreOptions) -> Result<Pool, OpenError> {
    let size = options.readers.max(1).saturating_add(4);
    r2d2::Pool::builder()
        .max_size(u32::try_from(size).unwrap_or(u32::MAX))
        .min_idle(Some(0))
        .max_lifetime(None)
        .idle_timeout(None)
        .test_on_check_out(false)
        .connection_timeout(options.busy_timeout.max(Duration::from_secs(1)))
        .build(manager(path, options.busy_timeout))
        .map_err(|error| OpenError::Database {
            database: path.display().to_string(),
            source: fault::of_pool(error),
        })
}

/// A connection that a thread keeps.
pub(super) fn get(
    pool: &Pool,
    path: &Path,
) -> Result<PooledConnection<SqliteConnectionManager>, OpenError> {
    pool.get().map_err(|error| OpenError::Database {
        database: path.display().to_string(),
        source: fault::of_pool(error),
    })
}

#[cfg(test)]
mod tests {
    use r2d2::ManageConnection as _;

    use super::*;
    use crate::store::{OpenAs, tests::samples::Folder};

    #[test]
    fn every_connection_commits_durably_and_checks_references() {
        let folder = Folder::new();
        let _db = folder.open(OpenAs::Serve);
        let manager = manager(&folder.path(), Duration::from_millis(70));
        let connection = manager.connect().unwrap();
        let pragmas = [
            ("SELECT synchronous FROM pragma_synchronous", "2"),
            ("SELECT foreign_keys FROM pragma_foreign_keys", "1"),
            ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
            ("SELECT timeout FROM pragma_busy_timeout", "70"),
        ];
        for (sql, expected) in pragmas {
            let sql = format!("SELECT CAST(({sql}) AS TEXT)");
            let value: String = connection.query_row(&sql, (), |row| row.get(0)).unwrap();
            assert_eq!(value, expected, "{sql}");
        }
    }
}
