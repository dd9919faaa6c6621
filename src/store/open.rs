//! How a database is opened, and why it is refused: each refusal is one sentence that says what to do.

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
    /// What the process is.
    pub open_as: OpenAs,
    /// Open the file although others than its owner may read or write it.
    pub allow_open_permissions: bool,
    /// How many threads read. At least 1.
    pub readers: usize,
    /// How long to wait for another process that owns the database.
    pub lock_wait: Duration,
    /// How long a transaction waits for another connection.
    pub busy_timeout: Duration,
    /// From which size on of the write-ahead log the oldest read transaction is ended, so that the log can begin
    /// anew.
    pub max_log_bytes: u64,
    /// How many reads, and how many writes, may wait before more are refused.
    pub max_waiting: usize,
    /// Ends the process. Nobody is answered once it is called: what it is told of leaves nothing to rely on.
    pub on_fatal: fn(Fatal) -> !,
    /// Where its times are counted.
    pub metrics: StoreMetrics,
}

impl StoreOptions {
    /// The usual options for the file at `path`.
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
            on_fatal: abort,
            metrics: StoreMetrics::default(),
        }
    }
}

fn abort(fatal: Fatal) -> ! {
    tracing::error!("{fatal}");
    process::abort()
}

/// What the process is that opens the database. Whichever it is, it owns the database as long as it has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    /// The server: it creates the file and raises the schema.
    Serve,
    /// A command that serves itself: it creates nothing and needs the present schema.
    Embedded,
}

/// Why the process that owns the database must end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// What was written may or may not be on the disk, and no later sync would tell.
    #[error(
        "a sync of the database {path} failed, so the process ends: what was not answered may or may not be there"
    )]
    SyncFailed {
        /// The database's file.
        path: PathBuf,
        /// What the system said.
        source: Error,
    },
    /// What is written would go to a file that nobody finds again.
    #[error(
        "the database {path} was moved, replaced or deleted, so the process that had it open ends"
    )]
    Moved {
        /// Where the database's file was.
        path: PathBuf,
    },
}

/// The process that holds the database's lock: its number and its command's name, where the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(pub(super) Option<(u32, String)>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((process, name)) if name.is_empty() => write!(f, "process {process}"),
            Some((process, name)) => write!(f, "process {process} ({name})"),
            None => f.write_str("a process that /proc/locks does not name"),
        }
    }
}

/// What something in the file system is, for people.
pub fn kind(found: FileType) -> &'static str {
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

/// Why the database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file, and only `serve` makes one.
    #[error("there is no database at {path}")]
    Missing {
        /// The database's file.
        path: PathBuf,
    },
    /// It is a link to nothing.
    #[error(
        "{path} is a link to {target}, where there is nothing: remove the link, or give the right path"
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It is a directory, a device or the like.
    #[error("{path} is {kind}, not a file: give the right path")]
    NotAFile {
        /// What was asked for.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The folder is not there.
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
    /// A newer Hallpass made the schema. The file was not touched.
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
    /// An older Hallpass made the schema, and only `serve` raises it.
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
        /// Who has it.
        holder: Holder,
    },
    /// The file has another name, and its log stands beside that one.
    #[error(
        "the latest changes of the database {path} are beside its other name: open it as {other}"
    )]
    LogElsewhere {
        /// The database's file.
        path: PathBuf,
        /// Its other name.
        other: PathBuf,
    },
    /// Locks and shared memory do not hold between the machines that see the file.
    #[error(
        "the database {path} is on a network file system ({kind}): put it on a disk of this machine"
    )]
    NetworkFileSystem {
        /// The database's file.
        path: PathBuf,
        /// Which file system.
        kind: &'static str,
    },
    /// A sync failed while it was opened.
    #[error("a sync of the database {path} failed: look at the disk before it is opened again")]
    SyncFailed {
        /// The database's file.
        path: PathBuf,
        /// What the system said.
        source: Error,
    },
    /// The `SQLite` that this program was built with can corrupt a database in WAL mode.
    #[error("SQLite {found} is too old: build hallpass with SQLite 3.51.3 or newer")]
    SqliteTooOld {
        /// Its version.
        found: &'static str,
    },
    /// The file system refuses.
    #[error("cannot open the database {path}: look at the file and its folder")]
    Io {
        /// The file it was about.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The database refuses.
    #[error(
        "cannot open the database {path}: another process may hold it, or it is damaged (`hallpass data check`)"
    )]
    Database {
        /// The database's file.
        path: PathBuf,
        /// What it said.
        source: Error,
    },
}

impl OpenError {
    /// Whether a full disk may be why.
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

    /// Of what the engine said about the file at `path`.
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
