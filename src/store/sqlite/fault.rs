//! Converts `SQLite`'s errors into the store's.

use std::{io, path::Path, sync::Arc};

use rusqlite::{
    Connection, Error as Driver, ErrorCode,
    ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE},
};

use super::open::SqliteOpenError;
use crate::store::{
    error::{Error, Unavailable},
    open::OpenError,
};

/// The error of a statement.
pub(super) fn of(error: Driver) -> Error {
    match (kind(&error), error.sqlite_error_code()) {
        (Some(kind), _) => Error::Unavailable {
            kind,
            source: Some(Arc::new(error)),
        },
        (None, Some(ErrorCode::ConstraintViolation)) => Error::Constraint {
            source: Arc::new(error),
        },
        (None, _) => Error::Statement {
            source: Arc::new(error),
        },
    }
}

/// The error of a statement that begins or ends a transaction. Nothing was written, unless a sync failed.
pub(super) fn unavailable(error: Driver) -> Error {
    Error::Unavailable {
        kind: kind(&error).unwrap_or(Unavailable::RolledBack),
        source: Some(Arc::new(error)),
    }
}

/// The error of getting a connection.
pub(super) fn of_pool(error: r2d2::Error) -> Error {
    Error::Unavailable {
        kind: Unavailable::Io,
        source: Some(Arc::new(error)),
    }
}

/// The error of one of the store's own syncs.
pub(super) fn of_sync(error: io::Error) -> Error {
    Error::Unavailable {
        kind: Unavailable::SyncFailed,
        source: Some(Arc::new(error)),
    }
}

/// Why the file at `path` cannot be opened, after `error`.
pub(super) fn of_opening(path: &Path, error: Error) -> OpenError {
    let database = path.display().to_string();
    match error {
        Error::Unavailable {
            kind: Unavailable::Corrupt,
            ..
        } => SqliteOpenError::NotADatabase { path: path.into() }.into(),
        source if source.is_failed_sync() => OpenError::SyncFailed { database, source },
        source => OpenError::Database { database, source },
    }
}

/// Runs a statement that begins or ends a transaction or a savepoint.
pub(super) fn statement(connection: &Connection, sql: &'static str) -> Result<(), Error> {
    let run = || connection.prepare_cached(sql)?.execute(());
    run().map(drop).map_err(unavailable)
}

/// Whether the system refused a write for a reason other than a full disk. `SQLite` has no other error code with this
/// meaning.
pub(super) fn is_failed_write(error: &Error) -> bool {
    let Error::Unavailable {
        source: Some(source),
        ..
    } = error
    else {
        return false;
    };
    let driver = source
        .downcast_ref::<Driver>()
        .and_then(Driver::sqlite_error);
    driver.is_some_and(|error| error.extended_code == SQLITE_IOERR_WRITE)
}

fn kind(error: &Driver) -> Option<Unavailable> {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    if let Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC) = extended {
        return Some(Unavailable::SyncFailed);
    }
    Some(match error.sqlite_error_code()? {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Unavailable::Busy,
        ErrorCode::DiskFull => Unavailable::Full,
        ErrorCode::ReadOnly => Unavailable::ReadOnly,
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => Unavailable::Io,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Unavailable::Corrupt,
        ErrorCode::OutOfMemory => Unavailable::Memory,
        ErrorCode::OperationInterrupted => Unavailable::Interrupted,
        ErrorCode::OperationAborted => Unavailable::RolledBack,
        _ => return None,
    })
}
