//! The one process that owns the database: its lock, and what ends it.
//!
//! The lock is flock on the database's file itself, so whatever leads to the file, a link or a second name,
//! leads to the same lock, and no file beside it can be deleted to get round it. Its descriptor is opened before
//! `SQLite`'s first connection and closed after the last one: to close any descriptor of a file drops the locks
//! that `SQLite` holds on it in this process.

mod holder;

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
    place::{Place, beside},
};
use crate::store::{
    error::Error,
    open::{Fatal, OpenError, StoreOptions},
};

/// How often a lock that is taken is tried again.
const RETRY: Duration = Duration::from_millis(25);

/// The lock and the file that it is on.
#[derive(Debug)]
pub(super) struct Owner {
    file: File,
    place: Place,
    device: u64,
    inode: u64,
    on_fatal: fn(Fatal) -> !,
}

impl Owner {
    /// Finds the file, as the server makes it where there is none, and takes the lock.
    pub(super) fn take(options: &StoreOptions) -> Result<Self, OpenError> {
        let deadline = Instant::now() + options.lock_wait;
        let mut told = false;
        loop {
            let place = Place::find(options)?;
            let file = place.open(options.open_as)?;
            match file.try_lock() {
                Ok(()) => {
                    let (device, inode) = identity(&file.metadata().map_err(|e| place.io(e))?);
                    let owner = Self {
                        file,
                        place,
                        device,
                        inode,
                        on_fatal: options.on_fatal,
                    };
                    // Else the path leads elsewhere since the file was opened.
                    if owner.is_at_its_path() {
                        return Ok(owner);
                    }
                }
                Err(TryLockError::Error(source)) => return Err(place.io(source)),
                Err(TryLockError::WouldBlock) => {
                    let path = place.path;
                    if Instant::now() >= deadline {
                        let holder = holder::of(&file);
                        return Err(OpenError::AlreadyServed { path, holder });
                    }
                    if !told {
                        let holder = holder::of(&file);
                        tracing::info!(path = %path.display(), "waiting for the database, which {holder} holds");
                        told = true;
                    }
                    thread::sleep(RETRY);
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.place.path
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// The lock's own descriptor of the file, through which alone it may be read.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Another name of the file in its folder that a log stands beside: commits that whoever comes by this name
    /// would miss. Of names elsewhere nothing is known.
    pub(super) fn name_with_the_log(&self) -> io::Result<Option<PathBuf>> {
        if self.file.metadata()?.nlink() == 1 {
            return Ok(None);
        }
        for entry in fs::read_dir(&self.place.folder)? {
            let path = entry?.path();
            let is_same = |found| identity(&found) == (self.device, self.inode);
            if path != self.place.path
                && fs::symlink_metadata(&path).is_ok_and(is_same)
                && fs::metadata(beside(&path, "-wal")).is_ok_and(|log| log.len() > 0)
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Makes safe what was written to the database's own file, through whatever descriptor.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(fault::of_sync)
    }

    /// Makes safe the names of the database and its log. `SQLite` does that for a new log, and passes over it
    /// where it fails.
    pub(super) fn sync_names(&self) -> Result<(), Error> {
        let folder = File::open(&self.place.folder);
        folder
            .and_then(|folder| folder.sync_all())
            .map_err(fault::of_sync)
    }

    /// Writes all that the log has once more, and makes it safe. After a sync that failed a kernel takes for
    /// written what it lost: it still shows it to whoever reads, and says nothing at a later sync.
    pub(super) fn write_log_anew(&self) -> Result<(), OpenError> {
        let path = beside(self.path(), "-wal");
        let log = match File::options().read(true).write(true).open(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(OpenError::Io { path, source }),
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
        rewrite().map_err(|source| OpenError::Io { path, source })?;
        log.sync_all()
            .map_err(|error| OpenError::of(self.path(), fault::of_sync(error)))
    }

    /// Ends the process where the file is no longer the one at its path: what it wrote from now on nobody would
    /// find again.
    pub(super) fn check_path(&self) {
        if !self.is_at_its_path() {
            (self.on_fatal)(Fatal::Moved {
                path: self.place.path.clone(),
            });
        }
    }

    /// Ends the process where `error` is a sync that failed.
    pub(super) fn end_on_failed_sync(&self, error: &Error) {
        if error.is_failed_sync() {
            (self.on_fatal)(Fatal::SyncFailed {
                path: self.place.path.clone(),
                source: error.clone(),
            });
        }
    }

    /// Where it cannot be told, it is taken to be so.
    fn is_at_its_path(&self) -> bool {
        match fs::metadata(&self.place.path) {
            Ok(found) => identity(&found) == (self.device, self.inode),
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests;
