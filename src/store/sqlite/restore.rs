//! Puts a backup in the place of a database, which is kept aside.
//!
//! The backup is copied beside the database, checked and migrated there, and locked before it gets the database's name
//! by one renaming. So a crash at any step leaves either the old database or the new one.

mod merge;
mod new_database;
mod replace;

use std::{
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

use rusqlite::Connection;

use super::{
    checkpoint::{CheckpointMode, checkpoint},
    connect, fault,
    file::{APPLICATION_ID, DatabaseFile, Header, known_schema, version},
    in_use,
    inspect::{self, Inspection},
    lock::DatabaseLock,
    migrate,
    open::SqliteOpenError,
    session::Session,
};
use crate::{
    domain::{
        audit::{AuditEvent, ChainHead},
        time::Timestamp,
    },
    store::{
        audit,
        error::{Error, Unavailable},
        open::{EngineOptions, OpenAs, OpenError, SchemaChange, StoreOptions},
        tx::Tx,
    },
};
pub use merge::Ended;
use new_database::NewDatabase;
pub(super) use new_database::remove_leftovers;

/// What becomes of what the database that is there has ended or limited since the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewerRevocations {
    /// It stays ended and limited.
    Keep,
    /// It is again as in the backup.
    Forget,
}

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup, or the database that is there, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading the backup or writing its copy failed.
    #[error("cannot copy the backup to {path}")]
    Copy {
        /// The copy.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The new file cannot be put in place.
    #[error("cannot put the backup in the place of {path}: the database there is as it was")]
    Place {
        /// The database.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process restores a backup to the same place.
    #[error("another process restores a backup to the same place, and has {path} open")]
    Running {
        /// Its copy.
        path: PathBuf,
    },
    /// A database has appeared where there was none.
    #[error("a database has appeared at {path} meanwhile: nothing was changed")]
    Appeared {
        /// The database.
        path: PathBuf,
    },
    /// The backup cannot be read or changed.
    #[error("the backup cannot be prepared")]
    Backup(#[source] Error),
    /// What the database that is there has ended cannot be read.
    #[error("the database {path} cannot tell what it has ended since the backup: {problem}")]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// A copy of a backup that is to be put in place. Dropped before, it leaves nothing.
#[derive(Debug)]
pub struct Restore {
    options: StoreOptions,
    database: PathBuf,
    copy: NewDatabase,
    connection: Connection,
    found: Inspection,
}

/// The result.
#[derive(Debug)]
pub struct Restored {
    /// What stayed ended or limited; `None` if that was not asked for, or there was no database.
    pub ended: Option<Ended>,
    /// Where the database is that was there.
    pub kept_aside: Option<PathBuf>,
    /// The last row of the new database's audit log.
    pub head: ChainHead,
}

impl Restore {
    /// Whether there is a database, after waiting for the process that owns it.
    pub fn is_replacing(options: &StoreOptions) -> Result<bool, OpenError> {
        Ok(lock_existing(options)?.is_some())
    }

    /// Copies the backup beside the database, checks the copy and migrates it.
    pub fn prepare(options: &StoreOptions, backup: &mut dyn Read) -> Result<Self, RestoreError> {
        let EngineOptions::Sqlite(sqlite) = &options.engine;
        let database = DatabaseFile::find(sqlite, OpenAs::Serve)?;
        let copy = NewDatabase::create(&database.path)?;
        let written = io::copy(backup, &mut &copy.file);
        written.map_err(|source| RestoreError::Copy {
            path: copy.path.clone(),
            source,
        })?;
        let file = DatabaseFile::created(copy.path.clone());
        file.check_header(&copy.file, OpenAs::Serve)?;
        let uses_log = file.uses_log(&copy.file).map_err(OpenError::from)?;
        let open = |error| RestoreError::Open(fault::of_opening(&copy.path, error));
        let connection = connect::exclusive(&copy.path, options.busy_timeout)
            .map_err(|error| open(fault::of(error)))?;
        let Header {
            application_id,
            schema,
        } = migrate::header(&connection).map_err(|error| open(fault::of(error)))?;
        if application_id == 0 {
            let path = copy.path.clone();
            return Err(OpenError::from(SqliteOpenError::NotADatabase { path }).into());
        }
        let lost_log = uses_log && in_use::is_marked(&connection).map_err(open)?;
        // Its changes are then in the file itself, which is moved alone.
        let settings = "PRAGMA journal_mode = DELETE";
        connection
            .query_row(settings, (), |_| Ok(()))
            .map_err(|error| open(fault::of(error)))?;
        let mut found = inspect::read(&connection, schema).map_err(open)?;
        if lost_log {
            found.findings.insert(0, in_use::LOG_IS_MISSING.to_owned());
        }
        Ok(Self {
            options: options.clone(),
            database: database.path,
            copy,
            connection,
            found,
        })
    }

    /// What the backup holds, and what is wrong with it. Of an older schema the audit log is not read yet.
    pub const fn found(&self) -> &Inspection {
        &self.found
    }

    /// Raises the schema of the copy to this program's, and checks it again.
    pub fn migrate(&mut self) -> Result<(), RestoreError> {
        let from = self.found.schema;
        if from == known_schema() {
            return Ok(());
        }
        let change = SchemaChange::of(&self.database, from, version(&self.connection));
        migrate::migrate(&mut self.connection, &change, &self.options)
            .map_err(RestoreError::Backup)?;
        let found =
            inspect::read(&self.connection, known_schema()).map_err(RestoreError::Backup)?;
        self.found = Inspection {
            schema: self.found.schema,
            ..found
        };
        Ok(())
    }

    /// What the database that is there has ended or limited since the backup; `None` if there is no database.
    pub fn compare(&mut self, now: Timestamp) -> Result<Option<Ended>, RestoreError> {
        let Some(lock) = lock_existing(&self.options)? else {
            return Ok(None);
        };
        let ended = self.with_existing(&lock, |connection| {
            connection.execute_batch("BEGIN")?;
            let ended = merge::keep_ended(connection, now);
            connection.execute_batch("ROLLBACK")?;
            ended
        })?;
        Ok(Some(ended))
    }

    /// Puts the copy in place. `event` makes its row of the audit log, of how many users and tokens stayed ended and the
    /// last row of the log of the database that was there, if that is known.
    pub fn put_in_place(
        self,
        newer: NewerRevocations,
        now: Timestamp,
        event: impl FnOnce(bool, Option<&Ended>, Option<ChainHead>) -> AuditEvent,
    ) -> Result<Restored, RestoreError> {
        let lock = lock_existing(&self.options)?;
        let (mut ended, mut replaced) = (None, None);
        match (&lock, newer) {
            (None, _) => {}
            (Some(lock), NewerRevocations::Keep) => {
                let both = self.with_existing(lock, |connection| {
                    connection.execute_batch("BEGIN")?;
                    let ended = merge::keep_ended(connection, now)?;
                    connection.execute_batch("COMMIT")?;
                    Ok((ended, merge::head_there(connection)?))
                })?;
                (ended, replaced) = (Some(both.0), both.1);
            }
            (Some(lock), NewerRevocations::Forget) => {
                // Nothing else is needed of it, so it may be damaged.
                let head = self.with_existing(lock, merge::head_there);
                replaced = head.ok().flatten();
            }
        }
        let event = event(lock.is_some(), ended.as_ref(), replaced);
        let head = self.finish(event).map_err(RestoreError::Backup)?;
        let Self {
            options,
            database,
            copy,
            connection,
            ..
        } = self;
        connection
            .close()
            .map_err(|(_, error)| RestoreError::Backup(fault::of(error)))?;
        let kept_aside = match &lock {
            None => replace::create(&copy, &database).map(|()| None)?,
            Some(lock) => Some(replace::replace(&copy, lock, now, &options)?),
        };
        Ok(Restored {
            ended,
            kept_aside,
            head,
        })
    }

    /// Writes what every restored database gets.
    fn finish(&self, event: AuditEvent) -> Result<ChainHead, Error> {
        let connection = &self.connection;
        connection.execute_batch("BEGIN").map_err(fault::of)?;
        // Networks that were forgotten since must not be exempt from the throttle again.
        let forget = "DELETE FROM known_networks";
        connection.execute_batch(forget).map_err(fault::of)?;
        in_use::unmark(connection)?;
        let head = audit::append(&Tx::sqlite(Session::new(connection)), event)?;
        connection.execute_batch("COMMIT").map_err(fault::of)?;
        Ok(head)
    }

    /// Runs `work` with the existing database attached as `there`. Its log is empty afterwards.
    fn with_existing<T>(
        &self,
        lock: &DatabaseLock,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, RestoreError> {
        let unreadable = |error: rusqlite::Error| RestoreError::Unreadable {
            path: lock.path().to_owned(),
            problem: error.to_string(),
        };
        let attach = "ATTACH CAST(?1 AS TEXT) AS there";
        let path = lock.path().as_os_str().as_bytes();
        self.connection
            .execute(attach, [path])
            .map_err(unreadable)?;
        let run = || {
            let damage = merge::damage_there(&self.connection)?;
            if let Some(problem) = damage {
                return Ok(Err(problem));
            }
            let done = work(&self.connection)?;
            let empty = "PRAGMA there.wal_checkpoint(TRUNCATE)";
            self.connection.query_row(empty, (), |_| Ok(()))?;
            Ok(Ok(done))
        };
        let done = run();
        if !self.connection.is_autocommit() {
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        self.connection.flush_prepared_statement_cache();
        let detached = self.connection.execute_batch("DETACH there");
        let done = done.map_err(unreadable)?;
        detached.map_err(unreadable)?;
        done.map_err(|problem| RestoreError::Unreadable {
            path: lock.path().to_owned(),
            problem,
        })
    }
}

/// Locks the database if there is one.
fn lock_existing(options: &StoreOptions) -> Result<Option<DatabaseLock>, OpenError> {
    let options = StoreOptions {
        open_as: OpenAs::Embedded,
        ..options.clone()
    };
    let EngineOptions::Sqlite(sqlite) = &options.engine;
    match DatabaseLock::acquire(sqlite, &options) {
        Ok(lock) => {
            lock.check_files_and_names(sqlite)?;
            Ok(Some(lock))
        }
        Err(OpenError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the existing database at `lock` is one of Hallpass or cannot be read at all, so that it may be replaced.
fn settle(lock: &DatabaseLock, options: &StoreOptions) -> Result<bool, RestoreError> {
    let path = lock.path();
    let open = |error| RestoreError::Open(fault::of_opening(path, error));
    let settle = || {
        let connection = connect::exclusive(path, options.busy_timeout).map_err(fault::of)?;
        let header = migrate::header(&connection).map_err(fault::of)?;
        let made = checkpoint(&connection, CheckpointMode::Truncate)?;
        Ok((header, made.is_busy))
    };
    match settle() {
        Ok((Header { application_id, .. }, _))
            if ![0, APPLICATION_ID].contains(&application_id) =>
        {
            let database = path.display().to_string();
            Err(OpenError::Foreign { database }.into())
        }
        Ok((_, false)) => Ok(true),
        Ok((_, true)) => Err(open(Error::unavailable(Unavailable::Busy))),
        Err(Error::Unavailable {
            kind: Unavailable::Corrupt,
            ..
        }) => Ok(false),
        Err(error) => Err(open(error)),
    }
}
