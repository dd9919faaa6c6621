//! Copies the whole database in one read transaction, while others read and write it.
//!
//! The copy is made by `VACUUM INTO`: a file beside the database, which loses its name as soon as it is complete. It
//! takes as much room as the database's content; the log grows until it is complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use r2d2::ManageConnection as _;
use rusqlite::{Connection, InterruptHandle};
use rustix::fs::{OFlags, statvfs};
use tokio::sync::oneshot;

use super::{
    Shared, connect, fault,
    file::{beside, known_schema},
    session::Session,
    wal::FRAME_BYTES,
};
use crate::{
    domain::audit::ChainHead,
    store::{
        audit,
        error::{Error, Unavailable},
        tx::Tx,
    },
};

const SUFFIX: &str = "-backup";
/// Room that must be left beside the copy: for the reserve, and for the log, which grows meanwhile.
const MARGIN_BYTES: u64 = 16 << 20;

/// A copy of the database, in a file without a name: it is gone once this is dropped.
pub struct Backup {
    file: File,
    size_bytes: u64,
    head: ChainHead,
    _guard: Box<dyn Send + Sync>,
}

impl Backup {
    /// The size of the file.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The last row of its audit log.
    pub const fn head(&self) -> ChainHead {
        self.head
    }

    /// The version of its schema.
    pub fn schema(&self) -> i64 {
        known_schema()
    }

    /// Reads at most `max` bytes from `at` on; none at the end. Blocks.
    pub fn read(&self, at: u64, max: usize) -> Result<Vec<u8>, Error> {
        let rest = self.size_bytes.saturating_sub(at);
        let mut bytes = vec![0; usize::try_from(rest).unwrap_or(max).min(max)];
        self.file.read_exact_at(&mut bytes, at).map_err(of_io)?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup")
            .field("size_bytes", &self.size_bytes)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Removes what a process has left that was killed while it made a copy.
pub(super) fn remove_leftovers(database: &Path) {
    for path in names(database) {
        match fs::remove_file(&path) {
            Ok(()) => {
                tracing::info!(file = %path.display(), "removed an unfinished copy of the database");
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "cannot remove an unfinished copy of the database");
            }
        }
    }
}

/// The copy, and the journal that `SQLite` may keep while it writes it.
fn names(database: &Path) -> [PathBuf; 2] {
    let path = beside(database, SUFFIX);
    let journal = beside(&path, "-journal");
    [path, journal]
}

/// Interrupts a copy if whoever waits for it goes away.
pub(super) struct InterruptOnDrop(Option<InterruptHandle>);

impl InterruptOnDrop {
    pub(super) const fn new(handle: InterruptHandle) -> Self {
        Self(Some(handle))
    }

    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.interrupt();
        }
    }
}

/// Takes the copy's name away, however making it ends.
struct Nameless<'a>(&'a Path);

impl Drop for Nameless<'_> {
    fn drop(&mut self) {
        for path in names(self.0) {
            drop(fs::remove_file(path));
        }
    }
}

/// Makes the copy. `started` gets the handle that interrupts it.
pub(super) fn make(
    shared: &Shared,
    guard: Box<dyn Send + Sync>,
    started: oneshot::Sender<InterruptHandle>,
) -> Result<Backup, Error> {
    let database = shared.lock.path();
    let connection = connect::manager(database, shared.busy_timeout)
        .connect()
        .map_err(fault::of)?;
    // Nobody gets the copy after a crash, so it need not be on the disk. This connection writes nothing else.
    let settings = "PRAGMA synchronous = OFF";
    connection.execute_batch(settings).map_err(fault::of)?;
    let needed_bytes = needed_bytes(&connection).map_err(fault::of)?;
    let check_room = || match free_bytes(database).map_err(of_io)? {
        free_bytes if free_bytes < needed_bytes + MARGIN_BYTES => {
            Err(Error::unavailable(Unavailable::NoRoomForCopy {
                needed_bytes: needed_bytes + MARGIN_BYTES,
                free_bytes,
            }))
        }
        _ => Ok(()),
    };
    check_room()?;
    let nameless = Nameless(database);
    let path = beside(database, SUFFIX);
    let file = create(&path).map_err(of_io)?;
    if started.send(connection.get_interrupt_handle()).is_err() {
        return Err(Error::unavailable(Unavailable::Interrupted));
    }
    let copied = {
        let max_log_bytes = shared.max_log_bytes.max(needed_bytes);
        let _read = (shared.open_reads).open_until(&connection, max_log_bytes / FRAME_BYTES);
        // The path may be no UTF-8.
        let sql = "VACUUM INTO CAST(?1 AS TEXT)";
        connection.execute(sql, [path.as_os_str().as_bytes()])
    };
    if let Err(error) = copied {
        drop(connection);
        drop(file);
        let error = fault::of(error);
        // The room is used up by what else was written meanwhile.
        if error.is_full_disk() {
            drop(nameless);
            check_room()?;
        }
        return Err(error);
    }
    drop(connection);
    let head = head(&path)?;
    let size_bytes = file.metadata().map_err(of_io)?.len();
    Ok(Backup {
        file,
        size_bytes,
        head,
        _guard: guard,
    })
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// The size of the database without its free pages, which the copy leaves out.
fn needed_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?).unwrap_or_default())
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = statvfs(path)?;
    Ok(found.f_bavail * found.f_frsize)
}

fn head(path: &Path) -> Result<ChainHead, Error> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(path, flags).map_err(fault::of)?;
    connection.execute_batch("BEGIN").map_err(fault::of)?;
    audit::head(&Tx::sqlite(Session::new(&connection)))
}

fn of_io(error: io::Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Unavailable::Full,
        _ => Unavailable::Io,
    };
    Error::Unavailable {
        kind,
        source: Some(Arc::new(error)),
    }
}
