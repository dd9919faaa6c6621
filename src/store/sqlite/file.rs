//! The database's file, and the checks before `SQLite` opens it: its folder, file system, permissions and header. A
//! file that is refused here has not been touched.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use rustix::fs::{Access, FsWord, NFS_SUPER_MAGIC, OFlags, access, fstatfs};

use super::{
    connect,
    open::{SqliteOpenError, SqliteOptions},
    session::Session,
};
use crate::store::{
    meta,
    migrations::MIGRATIONS,
    open::{OpenAs, OpenError, file_type_name},
    tx::Tx,
};

const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_LEN: usize = 100;
/// Before `SQLite` 3.51.3, a race between checkpoints could corrupt a database in WAL mode.
const MIN_SQLITE: i32 = 3_051_003;
/// Network file systems (from `linux/magic.h` and the file systems' sources). FUSE is not listed: it does not say
/// where the data is, and is often local. Operators must avoid FUSE file systems that are not, such as sshfs.
const NETWORK: [(FsWord, &str); 10] = [
    (NFS_SUPER_MAGIC, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
];

/// The location of the database with links resolved, so that the log is next to the file itself.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) exists: bool,
}

/// The path of the file next to `path` whose name has `suffix` appended.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl DatabaseFile {
    /// Locates the file and checks its folder.
    pub(super) fn find(options: &SqliteOptions, open_as: OpenAs) -> Result<Self, OpenError> {
        if rusqlite::version_number() < MIN_SQLITE {
            return Err(SqliteOpenError::TooOld {
                found: rusqlite::version(),
            }
            .into());
        }
        let database = Self::locate(&options.path, open_as)?;
        access(&database.folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|_| database.folder_not_writable())?;
        Ok(database)
    }

    fn locate(asked: &Path, open_as: OpenAs) -> Result<Self, OpenError> {
        let io = |source| SqliteOpenError::Io {
            path: asked.to_owned(),
            source,
        };
        let (path, exists) = match fs::canonicalize(asked) {
            Ok(path) => (path, true),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error).into()),
            Err(error) => {
                // A new file would be created at the link's target.
                if fs::symlink_metadata(asked).is_ok() {
                    return Err(SqliteOpenError::DanglingLink {
                        path: asked.to_owned(),
                        target: fs::read_link(asked).map_err(io)?,
                    }
                    .into());
                }
                let name = asked.file_name().ok_or_else(|| io(error))?;
                let folder = match asked.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                let real = fs::canonicalize(folder).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => SqliteOpenError::FolderMissing {
                        folder: folder.to_owned(),
                    },
                    _ => io(error),
                })?;
                (real.join(name), false)
            }
        };
        if !exists && open_as == OpenAs::Embedded {
            let database = path.display().to_string();
            return Err(OpenError::Missing { database });
        }
        if exists {
            let found = fs::metadata(&path).map_err(io)?.file_type();
            if !found.is_file() {
                let kind = file_type_name(found);
                return Err(SqliteOpenError::NotAFile { path, kind }.into());
            }
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self {
            path,
            folder,
            exists,
        })
    }

    /// The file at `path`, which this process has just created.
    pub(super) fn created(path: PathBuf) -> Self {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Self {
            path,
            folder,
            exists: true,
        }
    }

    /// Whether the header says that the latest changes may be in a write-ahead log (`SQLite`'s fileformat2.html, "File
    /// format version numbers").
    pub(super) fn uses_log(&self, file: &File) -> Result<bool, SqliteOpenError> {
        let mut bytes = [0; HEADER_LEN];
        let length = read_header(file, &mut bytes).map_err(|error| self.io(error))?;
        Ok(length == HEADER_LEN && bytes[18..20] == [2, 2])
    }

    /// Refuses anything but regular files where `SQLite` keeps its files next to the database: a link would redirect
    /// them.
    fn check_beside(&self) -> Result<(), SqliteOpenError> {
        for suffix in ["-wal", "-shm", "-journal"] {
            let path = beside(&self.path, suffix);
            match fs::symlink_metadata(&path) {
                Ok(found) if !found.is_file() => {
                    let kind = file_type_name(found.file_type());
                    return Err(SqliteOpenError::NotAFile { path, kind });
                }
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(SqliteOpenError::Io { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses files that others than their owner may read or write.
    fn check_permissions(&self) -> Result<(), SqliteOpenError> {
        for suffix in ["", "-wal", "-shm"] {
            let path = beside(&self.path, suffix);
            let mode = match fs::metadata(&path) {
                Ok(file) => file.permissions().mode() & 0o777,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(SqliteOpenError::Io { path, source }),
            };
            if mode & 0o077 != 0 {
                return Err(SqliteOpenError::OpenPermissions { path, mode });
            }
        }
        Ok(())
    }

    /// Opens the file. The server creates it if it does not exist, readable by its owner only.
    pub(super) fn open(&self, open_as: OpenAs) -> Result<File, SqliteOpenError> {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a small bit");
        let opened = File::options()
            .read(true)
            .write(true)
            .create(open_as == OpenAs::Serve)
            .mode(0o600)
            // Links were resolved before, so a link here was put in place since.
            .custom_flags(no_follow)
            .open(&self.path);
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if self.exists => {
                SqliteOpenError::FileNotWritable {
                    path: self.path.clone(),
                }
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                self.folder_not_writable()
            }
            _ => self.io(error),
        })?;
        let found = fstatfs(&file).map_err(|error| self.io(error.into()))?;
        match NETWORK.iter().find(|(kind, _)| *kind == found.f_type) {
            None => Ok(file),
            Some((_, kind)) => Err(SqliteOpenError::NetworkFileSystem {
                path: self.path.clone(),
                kind,
            }),
        }
    }

    fn folder_not_writable(&self) -> SqliteOpenError {
        SqliteOpenError::FolderNotWritable {
            folder: self.folder.clone(),
        }
    }

    pub(super) fn io(&self, source: io::Error) -> SqliteOpenError {
        SqliteOpenError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Checks the file and those next to it without opening them.
    pub(super) fn check_files(&self, options: &SqliteOptions) -> Result<(), SqliteOpenError> {
        self.check_beside()?;
        if options.allow_open_permissions {
            return Ok(());
        }
        self.check_permissions()
    }

    /// Checks the header without the lock, for a caller that does not open the database yet. Returns whether there is
    /// a file that is not empty.
    pub(super) fn check_unlocked(&self, open_as: OpenAs) -> Result<bool, OpenError> {
        if !self.exists {
            return Ok(false);
        }
        let file = self.open(OpenAs::Embedded)?;
        self.check_header(&file, open_as)?;
        let found = file.metadata().map_err(|error| self.io(error))?;
        Ok(found.len() > 0)
    }

    /// Checks the header in the file itself if there is no log: asking `SQLite` would leave new files next to a
    /// database that is then refused. If there is a log, only `SQLite` can tell, and it adds no new files.
    pub(super) fn check_header(&self, file: &File, open_as: OpenAs) -> Result<(), OpenError> {
        if self.has_log() {
            return Ok(());
        }
        let Some(header) = self.header(file)? else {
            return Ok(());
        };
        let version = || {
            connect::unopened(&self.path)
                .ok()
                .and_then(|it| version(&it))
        };
        header.check(&self.path, open_as, version)
    }

    /// Whether there is a log, which may hold a newer header than the file.
    pub(super) fn has_log(&self) -> bool {
        beside(&self.path, "-wal").exists()
    }

    /// The header in the file itself. `None`: the file is empty, or a journal will make it so.
    pub(super) fn header(&self, file: &File) -> Result<Option<Header>, OpenError> {
        let mut bytes = [0; HEADER_LEN];
        let length = read_header(file, &mut bytes).map_err(|error| self.io(error))?;
        let bytes = &bytes[..length];
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
            // The power failed during the first write to a new database, and the journal will undo it.
            if beside(&self.path, "-journal").exists() {
                return Ok(None);
            }
            let path = self.path.clone();
            return Err(SqliteOpenError::NotADatabase { path }.into());
        }
        let number = |at: usize| {
            let bytes: [u8; 4] = bytes[at..at + 4]
                .try_into()
                .expect("four bytes of the header");
            i64::from(i32::from_be_bytes(bytes))
        };
        Ok(Some(Header {
            application_id: number(68),
            schema: number(60),
        }))
    }
}

/// "HPAS" in the file's header marks a Hallpass database.
pub(super) const APPLICATION_ID: i64 = 0x4850_4153;

/// The schema version that this program needs.
pub(super) fn known_schema() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a list in memory is shorter than that")
}

/// What a file's header says about its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) application_id: i64,
    pub(super) schema: i64,
}

impl Header {
    /// Whether a file with this header can be opened. `version` tells which version made a newer schema.
    pub(super) fn check(
        self,
        path: &Path,
        open_as: OpenAs,
        version: impl FnOnce() -> Option<String>,
    ) -> Result<(), OpenError> {
        let database = path.display().to_string();
        let (found, known) = (self.schema, known_schema());
        match self.application_id {
            // Not claimed by any program yet; the caller checks the schema.
            0 if found == 0 => Ok(()),
            APPLICATION_ID if found > known => Err(OpenError::NewerSchema {
                database,
                found,
                known,
                version: version(),
            }),
            APPLICATION_ID if found < known && open_as == OpenAs::Embedded => {
                Err(OpenError::OlderSchema {
                    database,
                    found,
                    known,
                })
            }
            APPLICATION_ID => Ok(()),
            _ => Err(OpenError::Foreign { database }),
        }
    }
}

/// The version of Hallpass that had the database last, if it says so.
pub(super) fn version(connection: &Connection) -> Option<String> {
    let transaction = connection.unchecked_transaction().ok()?;
    let tx = Tx::sqlite(Session::new(&transaction));
    meta::version(&tx).ok().flatten()
}

fn read_header(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        let at = u64::try_from(read).expect("a usize fits 64 bits");
        match file.read_at(&mut bytes[read..], at)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}
