//! The steps that give the new file the database's name. Each leaves a whole database there: the old one, or after the
//! renaming the new one.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{RestoreError, new_database::NewDatabase, settle};
use crate::{
    domain::time::Timestamp,
    store::{
        open::StoreOptions,
        sqlite::{file::beside, lock::DatabaseLock},
    },
};

/// Puts the new file in the place of the locked database, and returns where that is kept.
pub(super) fn replace(
    new: &NewDatabase,
    existing: &DatabaseLock,
    now: Timestamp,
    options: &StoreOptions,
) -> Result<PathBuf, RestoreError> {
    let path = existing.path();
    // A log that stayed beside the new file would be replayed into it. Once it is in the old file, SQLite deletes it.
    let is_whole = settle(existing, options)?;
    let cannot = |source| RestoreError::Place {
        path: path.to_owned(),
        source,
    };
    new.file.sync_all().map_err(cannot)?;
    let log = beside(path, "-wal");
    if is_whole && fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(cannot(io::Error::other("its log cannot be emptied")));
    }
    let aside = name_aside(path, now).map_err(cannot)?;
    let companions: &[&str] = if is_whole {
        &["-shm"]
    } else {
        // It cannot be opened as it is; its parts are kept together for whoever repairs it.
        &["-wal", "-journal", "-shm"]
    };
    let replace = || {
        for suffix in companions {
            rename_if_there(&beside(path, suffix), &beside(&aside, suffix))?;
        }
        sync_folder(path)?;
        fs::rename(&new.path, path)?;
        sync_folder(path)
    };
    replace().map_err(cannot)?;
    Ok(aside)
}

/// Gives the new file its name where there is no database. Never replaces one that has appeared.
pub(super) fn create(new: &NewDatabase, path: &Path) -> Result<(), RestoreError> {
    let cannot = |source| RestoreError::Place {
        path: path.to_owned(),
        source,
    };
    new.file.sync_all().map_err(cannot)?;
    // What is left of a database that was removed would be replayed into the new one.
    for suffix in ["-wal", "-journal", "-shm"] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
    }
    match fs::hard_link(&new.path, path) {
        Ok(()) => sync_folder(path).map_err(cannot),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(RestoreError::Appeared {
            path: path.to_owned(),
        }),
        Err(error) => Err(cannot(error)),
    }
}

/// Gives the existing database a second name, under which it is kept.
fn name_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let time = now.to_string().replace([':', '-'], "");
    for number in 1_u32.. {
        let suffix = match number {
            1 => format!(".before-restore-{time}"),
            number => format!(".before-restore-{time}-{number}"),
        };
        let aside = beside(path, &suffix);
        match fs::hard_link(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}
