//! What is looked at before `SQLite` opens the file: its place, its permissions, its header, the server's
//! lock. A file that is refused here has not been touched.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::migrate::Header;
use crate::store::open::{OpenAs, OpenError, StoreOptions};

/// Before `SQLite` 3.51.3 a race between checkpoints could corrupt a database in WAL mode.
const MIN_SQLITE: i32 = 3_051_003;
const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_LEN: usize = 100;

/// Where the database is: without links, so that all who open it meet at the same lock.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    folder: PathBuf,
    exists: bool,
}

/// The path of the file beside `path` that has `suffix` after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Place {
    /// Finds the file and looks at it from outside.
    pub(super) fn find(options: &StoreOptions) -> Result<Self, OpenError> {
        if rusqlite::version_number() < MIN_SQLITE {
            return Err(OpenError::SqliteTooOld {
                found: rusqlite::version(),
            });
        }
        let place = Self::locate(&options.path, options.open_as)?;
        if place.exists {
            if !options.allow_open_permissions {
                place.check_permissions()?;
            }
            place.check_header(options.open_as)?;
        }
        access(&place.folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|_| {
            OpenError::FolderNotWritable {
                folder: place.folder.clone(),
            }
        })?;
        Ok(place)
    }

    fn locate(asked: &Path, open_as: OpenAs) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io {
            path: asked.to_owned(),
            source,
        };
        let (path, exists) = match fs::canonicalize(asked) {
            Ok(path) => (path, true),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            Err(error) => {
                let name = asked.file_name().ok_or_else(|| io(error))?;
                let folder = match asked.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                let real = fs::canonicalize(folder).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => OpenError::FolderMissing {
                        folder: folder.to_owned(),
                    },
                    _ => io(error),
                })?;
                (real.join(name), false)
            }
        };
        if !exists && open_as == OpenAs::Tool {
            return Err(OpenError::Missing { path });
        }
        if path.is_dir() {
            return Err(OpenError::NotADatabase { path });
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self {
            path,
            folder,
            exists,
        })
    }

    fn check_permissions(&self) -> Result<(), OpenError> {
        for suffix in ["", "-wal", "-shm"] {
            let path = beside(&self.path, suffix);
            let mode = match fs::metadata(&path) {
                Ok(file) => file.permissions().mode() & 0o777,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(OpenError::Io { path, source }),
            };
            if mode & 0o077 != 0 {
                return Err(OpenError::OpenPermissions { path, mode });
            }
        }
        Ok(())
    }

    /// Reads the header from the file itself, where that is all there is to the database: to ask `SQLite`
    /// would leave files beside a database that is then refused. While there is a log, `SQLite` must be asked
    /// (to close a file that it has open would also drop its locks); then nothing is new beside it either.
    fn check_header(&self, open_as: OpenAs) -> Result<(), OpenError> {
        if beside(&self.path, "-wal").exists() {
            return Ok(());
        }
        let bytes = self.read_header().map_err(|source| match source.kind() {
            ErrorKind::PermissionDenied => OpenError::FileNotWritable {
                path: self.path.clone(),
            },
            _ => self.io(source),
        })?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
            // The power went within the first write to a new database: the journal undoes that.
            if beside(&self.path, "-journal").exists() {
                return Ok(());
            }
            return Err(OpenError::NotADatabase {
                path: self.path.clone(),
            });
        }
        let number = |at: usize| {
            let bytes: [u8; 4] = bytes[at..at + 4]
                .try_into()
                .expect("four bytes of the header");
            i64::from(i32::from_be_bytes(bytes))
        };
        let header = Header {
            application_id: number(68),
            schema: number(60),
        };
        header.check(&self.path, open_as)
    }

    fn read_header(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        let limit = u64::try_from(HEADER_LEN).expect("a small number");
        File::open(&self.path)?
            .take(limit)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes the server's lock, which lasts as long as the file that is returned, and makes the database's
    /// file where there is none: readable by its owner alone, and in its folder durably.
    pub(super) fn lock_and_create(&self) -> Result<File, OpenError> {
        let lock = self.create_file(&beside(&self.path, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::AlreadyServed {
                    path: self.path.clone(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(self.io(source)),
        }
        if !self.exists {
            let created = self.create_file(&self.path)?;
            let folder = File::open(&self.folder).map_err(|error| self.io(error))?;
            created
                .sync_all()
                .and_then(|()| folder.sync_all())
                .map_err(|error| self.io(error))?;
        }
        Ok(lock)
    }

    fn create_file(&self, path: &Path) -> Result<File, OpenError> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    OpenError::FolderNotWritable {
                        folder: self.folder.clone(),
                    }
                }
                _ => self.io(error),
            })
    }

    fn io(&self, source: io::Error) -> OpenError {
        OpenError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
