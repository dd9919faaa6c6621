//! Options for opening a database, and why it may be refused. Each refusal is one sentence that says what to do.

use std::{
    fmt, fs::FileType, os::unix::fs::FileTypeExt as _, path::PathBuf, process, time::Duration,
};

use super::{
    error::{Error, Unavailable},
    sqlite::open::{SqliteOpenError, SqliteOptions},
};
use crate::{domain::audit::AuditEvent, metrics::StoreMetrics};

/// How to open the database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The engine, and what only it needs to know.
    pub engine: EngineOptions,
    /// The kind of process.
    pub open_as: OpenAs,
    /// The number of reader threads, at least 1.
    pub readers: usize,
    /// How long to wait for another process that owns the database.
    pub lock_wait: Duration,
    /// How long a transaction waits for another connection.
    pub busy_timeout: Duration,
    /// Maximum number of queued reads, and of queued writes. Beyond it, work is refused.
    pub max_waiting: usize,
    /// For tests: runs each write, rolls it back and runs it again, as an engine may after a conflict. A write whose
    /// statements or parameters differ the second time fails.
    pub rerun_writes: bool,
    /// The row of the audit log that a migration of an existing database leaves, in the same transaction.
    pub migration_event: Option<Box<AuditEvent>>,
    /// Called before each migration of an existing database.
    pub on_migration: fn(&MigrationStep),
    /// For tests: called after each statement of a migration.
    pub after_statement: fn(),
    /// Ends the process. Nobody gets an answer after this is called, since nothing can be relied on any more.
    pub on_fatal: fn(Fatal) -> !,
    /// Where the store's metrics are counted.
    pub metrics: StoreMetrics,
}

impl StoreOptions {
    /// Default options.
    pub fn new(engine: EngineOptions, open_as: OpenAs) -> Self {
        Self {
            engine,
            open_as,
            readers: 2,
            lock_wait: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
            max_waiting: 4_096,
            rerun_writes: false,
            migration_event: None,
            on_migration: |step| tracing::info!("migrating the database: {step}"),
            after_statement: || {},
            on_fatal: abort,
            metrics: StoreMetrics::default(),
        }
    }

    /// Default options for the `SQLite` database at `path`.
    pub fn sqlite(path: PathBuf, open_as: OpenAs) -> Self {
        Self::new(EngineOptions::Sqlite(SqliteOptions::new(path)), open_as)
    }
}

/// The engine that keeps the database, with what only it needs to know.
#[derive(Clone, Debug)]
pub enum EngineOptions {
    /// `SQLite`, in a file.
    Sqlite(SqliteOptions),
}

fn abort(fatal: Fatal) -> ! {
    tracing::error!("{fatal}");
    process::abort()
}

/// The kind of process that opens the database. Either kind owns the database while it has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    /// The server: it creates the file and migrates the schema.
    Serve,
    /// A command without a server: it creates nothing and needs the current schema.
    Embedded,
}

/// A pending migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationStep {
    /// The schema that it makes.
    pub schema: i64,
    /// The schema that the last one makes.
    pub last: i64,
    /// What it is for.
    pub name: &'static str,
}

impl fmt::Display for MigrationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schema, last, name } = self;
        write!(f, "{schema} of {last}: {name}")
    }
}

/// How the schema of a database was changed, or would be.
#[derive(Clone, Debug)]
pub struct SchemaChange {
    /// The database's file, without links.
    pub path: PathBuf,
    /// The schema before; 0: there were no tables.
    pub from: i64,
    /// The schema that this program needs.
    pub to: i64,
    /// The migrations in order.
    pub steps: Vec<MigrationStep>,
    /// The version of Hallpass that had the database before, if known.
    pub from_version: Option<String>,
    /// The time that the migrations took.
    pub duration: Duration,
    /// What is wrong with the database, though its schema is current now.
    pub warning: Option<&'static str>,
}

/// Why the process that owns the database must end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// A sync failed: the data may or may not be on disk, and no later sync would report the loss.
    #[error(
        "a sync of the database {path} failed, so the process ends: what was not answered may or may not be there"
    )]
    SyncFailed {
        /// The database's file.
        path: PathBuf,
        /// The system's error.
        source: Error,
    },
    /// The file is no longer at its path, so nobody would find what is written to it.
    #[error(
        "the database {path} was moved, replaced or deleted, so the process that had it open ends"
    )]
    Moved {
        /// Where the database's file was.
        path: PathBuf,
    },
}

/// The process that holds the database's lock: its ID and command name, if the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder(pub(super) Option<(u32, String)>);

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((process, name)) if name.is_empty() => write!(f, "process {process}"),
            Some((process, name)) => write!(f, "process {process} ({name})"),
            None => f.write_str("a process that /proc/locks does not name"),
        }
    }
}

/// The type of a directory entry, for people.
pub fn file_type_name(found: FileType) -> &'static str {
    if found.is_symlink() {
        "a link"
    } else if found.is_dir() {
        "a directory"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else if found.is_char_device() || found.is_block_device() {
        "a device"
    } else {
        "a file"
    }
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database, and only `serve` creates one.
    #[error("there is no database at {database}")]
    Missing {
        /// Where the database is.
        database: String,
    },
    /// It is another program's database.
    #[error("{database} is a database of another program: give the right path")]
    Foreign {
        /// Where the database is.
        database: String,
    },
    /// The schema is from a newer Hallpass. The database was not touched.
    #[error(
        "the database {database} has schema {found}, and this hallpass {} knows {known}: run {}, or restore a \
         backup from before the upgrade",
        env!("CARGO_PKG_VERSION"),
        version.as_ref().map_or_else(|| "a newer one".to_owned(), |version| format!("hallpass {version}, which made it"))
    )]
    NewerSchema {
        /// Where the database is.
        database: String,
        /// The database's schema.
        found: i64,
        /// This program's schema.
        known: i64,
        /// The version of Hallpass that made it, if it says so.
        version: Option<String>,
    },
    /// The schema is from an older Hallpass, and only `serve` and `migrate` change it.
    #[error(
        "the database {database} has schema {found}, and this hallpass needs {known}: make a backup, then run \
         `hallpass migrate` or start `hallpass serve`"
    )]
    OlderSchema {
        /// Where the database is.
        database: String,
        /// The database's schema.
        found: i64,
        /// This program's schema.
        known: i64,
    },
    /// The tables are not those of the schema that the database says it has.
    #[error(
        "the tables of the database {database} were changed by something other than hallpass ({differences}): undo \
         that, or restore a backup"
    )]
    AlteredSchema {
        /// Where the database is.
        database: String,
        /// What differs.
        differences: String,
    },
    /// A migration failed, and was undone.
    #[error(
        "the database {database} could not be migrated from schema {from} to {to}, and is as it was before"
    )]
    Migration {
        /// Where the database is.
        database: String,
        /// The database's schema.
        from: i64,
        /// This program's schema.
        to: i64,
        /// Why.
        source: Error,
    },
    /// Another process owns the database.
    #[error("the database {database} is in use by {holder}: stop that, or give another path")]
    AlreadyServed {
        /// Where the database is.
        database: String,
        /// The process that owns it.
        holder: LockHolder,
    },
    /// A sync failed while opening.
    #[error("a sync of the database {database} failed: look at the disk before it is opened again")]
    SyncFailed {
        /// Where the database is.
        database: String,
        /// The system's error.
        source: Error,
    },
    /// The database reported an error.
    #[error(
        "cannot open the database {database}: another process may hold it, or it is damaged (`hallpass data check`)"
    )]
    Database {
        /// Where the database is.
        database: String,
        /// The engine's error.
        source: Error,
    },
    /// A reason that only `SQLite` has.
    #[error(transparent)]
    Sqlite(#[from] SqliteOpenError),
}

impl OpenError {
    /// Whether a full disk may be the cause.
    pub(super) const fn may_be_full(&self) -> bool {
        matches!(
            self,
            Self::Database { source, .. } | Self::Migration { source, .. }
                if matches!(
                    source,
                    Error::Unavailable {
                        kind: Unavailable::Full | Unavailable::Io,
                        ..
                    }
                )
        )
    }
}
