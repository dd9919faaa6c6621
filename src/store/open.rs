//! How a database is opened, and why it is refused: each refusal is one sentence that says what to do.

use std::{io, path::PathBuf, time::Duration};

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
    /// How long to wait for a lock that another process holds.
    pub busy_timeout: Duration,
    /// How many reads, and how many writes, may wait before more are refused.
    pub max_waiting: usize,
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
            busy_timeout: Duration::from_secs(5),
            max_waiting: 4_096,
            metrics: StoreMetrics::default(),
        }
    }
}

/// What the process is that opens the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    /// The one server on this file: it takes the lock, creates the file and raises the schema.
    Serve,
    /// A command that may run beside the server: it creates nothing and needs the present schema.
    Tool,
}

/// Why the database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file, and only `serve` makes one.
    #[error("there is no database at {path}: start `hallpass serve` once, or give the right path")]
    Missing {
        /// The database's file.
        path: PathBuf,
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
    /// Another server has the file.
    #[error(
        "another `hallpass serve` runs on {path}: stop it first, or give this one another path"
    )]
    AlreadyServed {
        /// The database's file.
        path: PathBuf,
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
}
