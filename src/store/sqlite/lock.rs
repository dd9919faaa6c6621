//! The lock that makes this process the database's only owner, and the faults that end the process.
//!
//! The lock is flock on the database file itself, so every path to the file, through a link or another name, leads to
//! the same lock, and no lock file can be deleted to bypass it. Its descriptor is opened before `SQLite`'s first
//! connection and closed after the last: closing any descriptor of a file drops the locks that `SQLite` holds on it
//! in this process.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    fault,
    file::{DatabaseFile, beside},
    open::{SqliteOpenError, SqliteOptions},
};
use crate::store::{
    error::Error,
    open::{Fatal, LockHolder, OpenAs, OpenError, StoreOptions},
};

/// How often a taken lock is retried.
const RETRY: Duration = Duration::from_millis(25);

/// The lock, and the file it is on.
#[derive(Debug)]
pub(super) struct DatabaseLock {
    /// The descriptor that holds the lock. The file must be read through this one only.
    file: File,
    database: DatabaseFile,
    device: u64,
    inode: u64,
    on_fatal: fn(Fatal) -> !,
}

impl DatabaseLock {
    /// Finds the file, which the server creates if it does not exist, and takes the lock.
    pub(super) fn acquire(
        sqlite: &SqliteOptions,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let deadline = Instant::now() + options.lock_wait;
        let mut told = false;
        loop {
            let database = DatabaseFile::find(sqlite, options.open_as)?;
            let file = database.open(options.open_as)?;
            match file.try_lock() {
                Ok(()) => {
                    let (device, inode) = identity(&file.metadata().map_err(|e| database.io(e))?);
                    let lock = Self {
                        file,
                        database,
                        device,
                        inode,
                        on_fatal: options.on_fatal,
                    };
                    // Retry if the path was changed after the file was opened.
                    if lock.is_at_its_path() {
                        return Ok(lock);
                    }
                }
                Err(TryLockError::Error(source)) => return Err(database.io(source).into()),
                Err(TryLockError::WouldBlock) => {
                    let path = database.path;
                    if Instant::now() >= deadline {
                        let holder = find_holder(&file);
                        let database = path.display().to_string();
                        return Err(OpenError::AlreadyServed { database, holder });
                    }
                    if !told {
                        let holder = find_holder(&file);
                        tracing::info!(path = %path.display(), "waiting for the database, which {holder} holds");
                        told = true;
                    }
                    thread::sleep(RETRY);
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.database.path
    }

    pub(super) const fn database(&self) -> &DatabaseFile {
        &self.database
    }

    /// Another name of the file in its folder that has a log next to it. That log holds commits that a process using
    /// our name would miss. Names in other folders cannot be found.
    fn name_with_the_log(&self) -> io::Result<Option<PathBuf>> {
        if self.file.metadata()?.nlink() == 1 {
            return Ok(None);
        }
        for entry in fs::read_dir(&self.database.folder)? {
            let path = entry?.path();
            let is_same = |found| identity(&found) == (self.device, self.inode);
            if path != self.database.path
                && fs::symlink_metadata(&path).is_ok_and(is_same)
                && fs::metadata(beside(&path, "-wal")).is_ok_and(|log| log.len() > 0)
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Checks the file before `SQLite` opens it.
    pub(super) fn check_file(
        &self,
        sqlite: &SqliteOptions,
        open_as: OpenAs,
    ) -> Result<(), OpenError> {
        self.check_files_and_names(sqlite)?;
        self.database.check_header(&self.file, open_as)
    }

    /// The same for a file whose content does not matter.
    pub(super) fn check_files_and_names(
        &self,
        sqlite: &SqliteOptions,
    ) -> Result<(), SqliteOpenError> {
        self.database.check_files(sqlite)?;
        let other = self.name_with_the_log();
        match other.map_err(|error| self.database.io(error))? {
            None => Ok(()),
            Some(other) => Err(SqliteOpenError::LogElsewhere {
                path: self.path().to_owned(),
                other,
            }),
        }
    }

    /// Whether the database's header says that it uses a log, and there is none.
    pub(super) fn lacks_its_log(&self) -> Result<bool, SqliteOpenError> {
        Ok(self.database.uses_log(&self.file)? && !beside(self.path(), "-wal").exists())
    }

    /// Syncs the database file, whichever descriptor it was written through.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(fault::of_sync)
    }

    /// Syncs the directory entries of the database and its log. `SQLite` does so for a new log, but ignores a
    /// failure.
    pub(super) fn sync_names(&self) -> Result<(), Error> {
        let folder = File::open(&self.database.folder);
        folder
            .and_then(|folder| folder.sync_all())
            .map_err(fault::of_sync)
    }

    /// Rewrites the log's contents and syncs them. After a failed sync a kernel may mark lost pages as clean: reads
    /// still return them, and later syncs report no error.
    pub(super) fn write_log_anew(&self) -> Result<(), OpenError> {
        let path = beside(self.path(), "-wal");
        let log = match File::options().read(true).write(true).open(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(SqliteOpenError::Io { path, source }.into()),
        };
        let rewrite = || -> io::Result<()> {
            let (mut bytes, mut at) = (vec![0; 1 << 20], 0);
            loop {
                let read = log.read_at(&mut bytes, at)?;
                if read == 0 {
                    return Ok(());
                }
                log.write_all_at(&bytes[..read], at)?;
                at += u64::try_from(read).expect("a usize fits 64 bits");
            }
        };
        rewrite().map_err(|source| SqliteOpenError::Io { path, source })?;
        log.sync_all()
            .map_err(|error| fault::of_opening(self.path(), fault::of_sync(error)))
    }

    /// Ends the process if the file is no longer at its path: nobody would find what is written to it.
    pub(super) fn check_path(&self) {
        if !self.is_at_its_path() {
            (self.on_fatal)(Fatal::Moved {
                path: self.database.path.clone(),
            });
        }
    }

    /// Ends the process if `error` is a failed sync.
    pub(super) fn end_on_failed_sync(&self, error: &Error) {
        if error.is_failed_sync() {
            (self.on_fatal)(Fatal::SyncFailed {
                path: self.database.path.clone(),
                source: error.clone(),
            });
        }
    }

    /// True if it cannot be told.
    pub(super) fn is_at_its_path(&self) -> bool {
        match fs::metadata(&self.database.path) {
            Ok(found) => identity(&found) == (self.device, self.inode),
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The process that holds the lock on `file`. The match is by inode alone: the device that the kernel prints is not
/// always the one that `stat` returns.
fn find_holder(file: &File) -> LockHolder {
    let find = || {
        let inode = file.metadata().ok()?.ino();
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let process = locks.lines().find_map(|line| flock_process(line, inode))?;
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        Some((process, name.trim_end().to_owned()))
    };
    LockHolder(find())
}

/// Parses a line such as `2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF`.
pub(super) fn flock_process(line: &str, inode: u64) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let is_flock = fields.next() == Some("FLOCK");
    let process = fields.nth(2)?.parse().ok()?;
    let found = fields.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
    // A process in another PID namespace is shown as 0.
    (is_flock && found == inode && process > 0).then_some(process)
}
