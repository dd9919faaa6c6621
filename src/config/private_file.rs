//! Files of secrets that only one user of this machine may access: read only if no other user could have read or
//! created them, and written atomically. Links are never followed.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, fsync, openat, renameat,
    statat, unlinkat,
};

use crate::domain::random;

/// None of these files is larger.
const MAX_BYTES: u64 = 1024 * 1024;

const OTHERS: u32 = 0o077;

/// An open folder. Its files are found even if its path changes.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// The folder at `path`, which may be a link, since the user named it.
    pub(super) fn named(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        Self::open(path, OFlags::empty())
    }

    /// The folder at `path`, which belongs to this user and to which no other may write; `None`: it does not exist.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        match Self::open(path, OFlags::NOFOLLOW) {
            Ok(folder) => {
                folder.check(0o022)?;
                Ok(Some(folder))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, created if it does not exist, and with access for this user alone.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let folder = Self::open(path, OFlags::NOFOLLOW)?;
        folder.check(0)?;
        fchmod(&folder.0, Mode::RWXU)?;
        Ok(folder)
    }

    fn open(path: &Path, flags: OFlags) -> io::Result<Self> {
        let flags = flags | OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Refuses a folder of another user, or with one of these mode bits.
    fn check(&self, bits: u32) -> io::Result<()> {
        let found = fstat(&self.0)?;
        if found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(refusal("the folder belongs to another user"));
        }
        if found.st_mode & bits != 0 {
            return Err(refusal("others may write to the folder: chmod it to 700"));
        }
        Ok(())
    }

    /// Locks the folder against other processes until this is dropped.
    pub(super) fn lock(&self) -> io::Result<()> {
        Ok(flock(&self.0, FlockOperation::LockExclusive)?)
    }

    /// What the file `name` holds; `None`: there is none.
    pub(super) fn read(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        // Opening a pipe would block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => return Err(refusal("it is a link")),
            Err(error) => return Err(error.into()),
        };
        let found = fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(refusal("it is not a regular file"));
        }
        if found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(refusal("it belongs to another user"));
        }
        if found.st_mode & OTHERS != 0 {
            return Err(refusal("others may read or write it: chmod it to 600"));
        }
        let mut content = Vec::new();
        File::from(file).take(MAX_BYTES).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Writes the file `name`, which may exist. Once this returns, all of it is on the disk.
    pub(super) fn write(&self, name: &OsStr, content: &[u8]) -> io::Result<()> {
        self.refuse_other_than_file(name)?;
        let mut draft = name.to_owned();
        draft.push(format!(".{:016x}", u64::from_ne_bytes(random::bytes())));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &draft, flags, Mode::RUSR | Mode::WUSR)?);
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(&self.0, &draft, &self.0, name)?));
        if let Err(error) = written {
            // The draft holds a secret, and nothing would delete it later.
            let _left = unlinkat(&self.0, &draft, AtFlags::empty());
            return Err(error);
        }
        Ok(fsync(&self.0)?)
    }

    fn refuse_other_than_file(&self, name: &OsStr) -> io::Result<()> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile => {
                Err(refusal("it is a link, or not a regular file"))
            }
            Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the file `name`, if it exists.
    pub(super) fn delete(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn refusal(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folder_and_files_are_private() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a/b");
        assert!(Folder::find(&path).unwrap().is_none());
        let folder = Folder::make(&path).unwrap();
        let name = OsStr::new("token");
        assert_eq!(folder.read(name).unwrap(), None);
        folder.write(name, b"one").unwrap();
        folder.write(name, b"another").unwrap();
        assert_eq!(folder.read(name).unwrap().as_deref(), Some(&b"another"[..]));
        assert_eq!((mode(&path), mode(&path.join("token"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no draft remains");

        chmod(&path, 0o777);
        assert!(Folder::find(&path).is_err());
        Folder::make(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        folder.delete(name).unwrap();
        folder.delete(name).unwrap();
        assert_eq!(folder.read(name).unwrap(), None);
    }

    #[test]
    fn files_of_others_and_other_than_files_are_refused() {
        let above = tempfile::tempdir().unwrap();
        let folder = Folder::make(&above.path().join("f")).unwrap();
        let path = above.path().join("f/token");
        folder.write(OsStr::new("token"), b"x").unwrap();
        for open in [0o640, 0o604, 0o620] {
            chmod(&path, open);
            assert!(folder.read(OsStr::new("token")).is_err(), "{open:o}");
        }
        chmod(&path, 0o600);
        assert!(folder.read(OsStr::new("token")).is_ok());

        symlink(&path, above.path().join("f/link")).unwrap();
        let link = OsStr::new("link");
        assert!(folder.read(link).is_err());
        assert!(folder.write(link, b"y").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
        fs::create_dir(above.path().join("f/folder")).unwrap();
        assert!(folder.read(OsStr::new("folder")).is_err());

        symlink(above.path().join("f"), above.path().join("g")).unwrap();
        assert!(Folder::find(&above.path().join("g")).is_err());
        assert!(Folder::make(&above.path().join("g")).is_err());
    }
}
