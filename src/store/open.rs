//! Options for opening a database, and why it may be refused. Each refusal is one sentence that says what to do.

use std::{
    fmt,
    fs::FileType,
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use super::error::{Error, Unavailable};
use crate::metrics::StoreMetrics;

/// How to open the database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The database's file.
    pub path: PathBuf,
    /// The kind of process.
    pub open_as: OpenAs,
    /// Open the file even if others than its owner may read or write it.
    pub allow_open_permissions: bool,
    /// The number of reader threads, at least 1.
    pub readers: usize,
    /// How long to wait for another process that owns the database.
    pub lock_wait: Duration,
    /// How long a transaction waits for another connection.
    pub busy_timeout: Duration,
    /// The size of the write-ahead log above which the oldest read transaction is ended, so that the log can restart.
    pub max_log_bytes: u64,
    /// Maximum number of queued reads, and of queued writes. Beyond it, work is refused.
    pub max_waiting: usize,
    /// For tests: runs each write, rolls it back and runs it again, as an engine may after a conflict. A write whose
    /// statements or parameters differ the second time fails.
    pub rerun_writes: bool,
    /// Ends the process. Nobody gets an answer after this is called, since nothing can be relied on any more.
    pub on_fatal: fn(Fatal) -> !,
    /// Where the store's metrics are counted.
    pub metrics: StoreMetrics,
}

impl StoreOptions {
    /// Default options for the file at `path`.
    pub fn new(path: PathBuf, open_as: OpenAs) -> Self {
        Self {
            path,
            open_as,
            allow_open_permissions: false,
            readers: 2,
            lock_wait: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
            max_log_bytes: 256 << 20,
            max_waiting: 4_096,
            rerun_writes: false,
            on_fatal: abort,
            metrics: StoreMetrics::default(),
        }
    }
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
    /// There is no file, and only `serve` creates one.
    #[error("there is no database at {path}")]
    Missing {
        /// The database's file.
        path: PathBuf,
    },
    /// The path is a link whose target does not exist.
    #[error(
        "{path} is a link to {target}, where there is nothing: remove the link, or give the right path"
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// The link's target.
        target: PathBuf,
    },
    /// The path is a directory, a device or the like.
    #[error("{path} is {kind}, not a file: give the right path")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The folder does not exist.
    #[error("the folder {folder} does not exist: create it, or give the right path")]
    FolderMissing {
        /// The database's folder.
        folder: PathBuf,
    },
    /// The folder is not writable.
    #[error(
        "the folder {folder} is not writable: SQLite keeps files beside the database, so let this user write there"
    )]
    FolderNotWritable {
        /// The database's folder.
        folder: PathBuf,
    },
    /// The file is not writable.
    #[error("the database {path} is not writable: let this user write it")]
    FileNotWritable {
        /// The database's file.
        path: PathBuf,
    },
    /// Others than the owner may read or write the file.
    #[error("others may read or write {path} (mode {mode:03o}): run `chmod 600` on it")]
    OpenPermissions {
        /// The database, or its `-wal` or `-shm`.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// The file is not an `SQLite` database.
    #[error("{path} is not an SQLite database: give the right path, or restore a backup")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is another program's database.
    #[error("{path} is a database of another program: give the right path")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The schema is from a newer Hallpass. The file was not touched.
    #[error(
        "the database {path} has schema {found} and this hallpass knows {known}: run a newer hallpass"
    )]
    NewerSchema {
        /// The database's file.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// This program's schema.
        known: i64,
    },
    /// The schema is from an older Hallpass, and only `serve` migrates it.
    #[error(
        "the database {path} has schema {found} and this hallpass needs {known}: start `hallpass serve` once"
    )]
    OlderSchema {
        /// The database's file.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// This program's schema.
        known: i64,
    },
    /// Another process owns the database.
    #[error("the database {path} is in use by {holder}: stop that, or give another path")]
    AlreadyServed {
        /// The database's file.
        path: PathBuf,
        /// The process that owns it.
        holder: LockHolder,
    },
    /// The file has several names, and its write-ahead log is next to another one.
    #[error(
        "the latest changes of the database {path} are beside its other name: open it as {other}"
    )]
    LogElsewhere {
        /// The database's file.
        path: PathBuf,
        /// Its other name.
        other: PathBuf,
    },
    /// The file is on a network file system, where locks and shared memory do not work across machines.
    #[error(
        "the database {path} is on a network file system ({kind}): put it on a disk of this machine"
    )]
    NetworkFileSystem {
        /// The database's file.
        path: PathBuf,
        /// The type of file system.
        kind: &'static str,
    },
    /// A sync failed while opening.
    #[error("a sync of the database {path} failed: look at the disk before it is opened again")]
    SyncFailed {
        /// The database's file.
        path: PathBuf,
        /// The system's error.
        source: Error,
    },
    /// The linked `SQLite` has a bug that can corrupt a database in WAL mode.
    #[error("SQLite {found} is too old: build hallpass with SQLite 3.51.3 or newer")]
    SqliteTooOld {
        /// The linked version.
        found: &'static str,
    },
    /// The file system reported an error.
    #[error("cannot open the database {path}: look at the file and its folder")]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The database reported an error.
    #[error(
        "cannot open the database {path}: another process may hold it, or it is damaged (`hallpass data check`)"
    )]
    Database {
        /// The database's file.
        path: PathBuf,
        /// The engine's error.
        source: Error,
    },
}

impl OpenError {
    /// Whether a full disk may be the cause.
    pub(super) const fn may_be_full(&self) -> bool {
        matches!(
            self,
            Self::Database {
                source: Error::Unavailable {
                    kind: Unavailable::Full | Unavailable::Io,
                    ..
                },
                ..
            }
        )
    }

    /// Converts the engine's error about the file at `path`.
    pub(super) fn of(path: &Path, source: Error) -> Self {
        let path = path.to_owned();
        match source {
            Error::Unavailable {
                kind: Unavailable::Corrupt,
                ..
            } => Self::NotADatabase { path },
            source if source.is_failed_sync() => Self::SyncFailed { path, source },
            source => Self::Database { path, source },
        }
    }
}
