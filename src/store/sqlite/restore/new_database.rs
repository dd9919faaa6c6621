//! The new database's file until it is put in place: beside the old one, under a name of its own.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::RestoreError;
use crate::store::sqlite::file::beside;

const SUFFIX: &str = "-restore";

/// The new database's file while it has its temporary name, which it loses on drop.
#[derive(Debug)]
pub(super) struct NewDatabase {
    pub(super) path: PathBuf,
    /// Locked as by the database's owner.
    pub(super) file: File,
}

impl Drop for NewDatabase {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            drop(fs::remove_file(beside(&self.path, suffix)));
        }
    }
}

impl NewDatabase {
    /// Creates the file, readable by its owner only, and locks it. Removes what a killed process has left.
    pub(super) fn create(database: &Path) -> Result<Self, RestoreError> {
        let path = beside(database, SUFFIX);
        let cannot = |source| RestoreError::Copy {
            path: path.clone(),
            source,
        };
        let options = || {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(true)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
            options
        };
        match options().open(&path) {
            Ok(left) => match left.try_lock() {
                Ok(()) => drop(Self {
                    path: path.clone(),
                    file: left,
                }),
                Err(TryLockError::WouldBlock) => return Err(RestoreError::Running { path }),
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        let file = options().create_new(true).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(RestoreError::Running { path }),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}

/// Removes the copy of a process that was killed before it put it in place.
pub(in crate::store::sqlite) fn remove_leftovers(database: &Path) {
    let path = beside(database, SUFFIX);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path);
    if let Ok(file) = opened
        && file.try_lock().is_ok()
    {
        tracing::info!(file = %path.display(), "removed what an interrupted `hallpass restore` left");
        drop(NewDatabase { path, file });
    }
}
