//! A file that is complete or not there: it is written under another name in the same folder, synced, and then put in
//! place.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{domain::random, store};

use super::failure::Failure;

/// The names of unfinished files begin and end so.
const PREFIX: &str = ".hallpass-backup-";
const SUFFIX: &str = ".partial";

/// A file that is being written, readable by its owner alone. Dropped before it is put in place, it leaves nothing.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    folder: PathBuf,
    unfinished: PathBuf,
    /// Locked, so that others can tell it from what a killed process has left.
    file: File,
    replaces: bool,
}

impl NewFile {
    /// Begins the file at `path`. Removes what killed processes have left in its folder.
    ///
    /// # Errors
    /// There is such a file and it must not be replaced, or something else has its name; or it cannot be created.
    pub(super) fn create(path: &Path, replace: bool) -> Result<Self, Failure> {
        let cannot = |error| cannot_write(path, &error);
        let replaces = match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                let kind = store::file_type_name(found.file_type());
                let path = path.display();
                return Err(Failure::failed(format!(
                    "{path} is {kind}, not a file: give another name"
                )));
            }
            Ok(_) if !replace => return Err(exists(path)),
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(cannot(error)),
        };
        if path.file_name().is_none() {
            return Err(cannot(ErrorKind::IsADirectory.into()));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        remove_leftovers(folder);
        let number = u64::from_ne_bytes(random::bytes());
        let unfinished = folder.join(format!("{PREFIX}{number:016x}{SUFFIX}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&unfinished)
            .map_err(cannot)?;
        let this = Self {
            path: path.to_owned(),
            folder: folder.to_owned(),
            unfinished,
            file,
            replaces,
        };
        match this.file.try_lock() {
            // Some network file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(this),
            Err(TryLockError::WouldBlock) => Err(cannot(ErrorKind::WouldBlock.into())),
        }
    }

    /// Where it is until it is put in place.
    pub(super) fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    pub(super) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The failure of a write to it.
    pub(super) fn cannot_write(&self, error: &io::Error) -> Failure {
        cannot_write(&self.path, error)
    }

    /// Puts the file in place, on the disk.
    ///
    /// # Errors
    /// The system refuses that, or meanwhile another file got its name.
    pub(super) fn put_in_place(self) -> Result<(), Failure> {
        let cannot = |error: io::Error| self.cannot_write(&error);
        self.file.sync_all().map_err(cannot)?;
        let named = if self.replaces {
            fs::rename(&self.unfinished, &self.path)
        } else {
            self.name_new()
        };
        match named {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(exists(&self.path));
            }
            Err(error) => return Err(cannot(error)),
        }
        let folder = File::open(&self.folder);
        folder.and_then(|folder| folder.sync_all()).map_err(cannot)
    }

    /// Unlike a renaming, a link never replaces a file that has appeared meanwhile. The first name is removed on drop.
    fn name_new(&self) -> io::Result<()> {
        match fs::hard_link(&self.unfinished, &self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // The file system has no links.
            Err(_) if fs::symlink_metadata(&self.path).is_err() => {
                fs::rename(&self.unfinished, &self.path)
            }
            linked => linked,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.unfinished));
    }
}

/// Removes unfinished files that no process has locked. Whatever fails is left to the next attempt.
fn remove_leftovers(folder: &Path) {
    let is_unfinished = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !entry.file_name().to_str().is_some_and(is_unfinished) {
            continue;
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(entry.path());
        if opened.is_ok_and(|file| file.try_lock().is_ok()) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::failed(format!(
        "{path} exists: give another name, or --force to replace it"
    ))
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use tempfile::TempDir;

    use super::*;

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn message(failed: Result<NewFile, Failure>) -> String {
        failed.unwrap_err().message().unwrap()
    }

    #[test]
    fn file_appears_only_once_it_is_complete() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new");
        let mut new = NewFile::create(&path, false).unwrap();
        new.file().write_all(b"text").unwrap();
        assert!(!path.exists());
        assert_eq!(names(&folder).len(), 1);
        new.put_in_place().unwrap();
        assert_eq!(names(&folder), ["new"]);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn file_that_is_given_up_leaves_nothing() {
        let folder = TempDir::new().unwrap();
        drop(NewFile::create(&folder.path().join("new"), false).unwrap());
        assert_eq!(names(&folder), [""; 0]);
    }

    #[test]
    fn existing_file_is_replaced_only_on_request() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("old");
        fs::write(&path, "old").unwrap();
        assert!(message(NewFile::create(&path, false)).contains("exists"));
        let mut new = NewFile::create(&path, true).unwrap();
        new.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        new.put_in_place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(&folder), ["old"]);
    }

    #[test]
    fn file_that_appears_meanwhile_is_not_replaced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new");
        let new = NewFile::create(&path, false).unwrap();
        fs::write(&path, "another's").unwrap();
        let refused = new.put_in_place().unwrap_err().message().unwrap();
        assert!(refused.contains("exists"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        assert_eq!(names(&folder), ["new"]);
    }

    #[test]
    fn neither_link_nor_folder_nor_device_is_written_to() {
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "kept").unwrap();
        let link = folder.path().join("link");
        symlink(&target, &link).unwrap();
        for replace in [false, true] {
            assert!(message(NewFile::create(&link, replace)).contains("is a link"));
            let device = NewFile::create(Path::new("/dev/null"), replace);
            assert!(message(device).contains("is a device"));
            let refused = message(NewFile::create(folder.path(), replace));
            assert!(refused.contains("is a directory"), "{refused}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        assert_eq!(names(&folder), ["link", "target"]);
    }

    #[test]
    fn leftovers_of_killed_processes_are_removed_and_files_of_running_ones_are_not() {
        let folder = TempDir::new().unwrap();
        let left = folder.path().join(format!("{PREFIX}1{SUFFIX}"));
        fs::write(&left, "left").unwrap();
        let running = NewFile::create(&folder.path().join("one"), false).unwrap();
        assert!(!left.exists());
        let second = NewFile::create(&folder.path().join("two"), false).unwrap();
        assert_eq!(names(&folder).len(), 2);
        running.put_in_place().unwrap();
        second.put_in_place().unwrap();
        assert_eq!(names(&folder), ["one", "two"]);
    }
}
