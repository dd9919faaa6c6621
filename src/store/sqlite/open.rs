//! What only `SQLite` needs to know to open a database, and the reasons that only it has to refuse one.

use std::{io, path::PathBuf};

/// Options that only `SQLite` has.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The database's file.
    pub path: PathBuf,
    /// Open the file even if others than its owner may read or write it.
    pub allow_open_permissions: bool,
    /// The size of the write-ahead log above which the oldest read transaction is ended, so that the log can restart.
    pub max_log_bytes: u64,
}

impl SqliteOptions {
    /// Default options for the file at `path`.
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            allow_open_permissions: false,
            max_log_bytes: 256 << 20,
        }
    }
}

/// Why a file cannot be opened as an `SQLite` database.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
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
    /// The linked `SQLite` has a bug that can corrupt a database in WAL mode.
    #[error("SQLite {found} is too old: build hallpass with SQLite 3.51.3 or newer")]
    TooOld {
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
}
