//! The checks before `SQLite` opens the file. A file that is refused here has not been touched.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::{
    file::{DatabaseFile, beside},
    lock::DatabaseLock,
    migrate::Header,
};
use crate::store::open::{OpenAs, OpenError, StoreOptions};

const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_LEN: usize = 100;

/// Checks the locked file.
pub(super) fn check(lock: &DatabaseLock, options: &StoreOptions) -> Result<(), OpenError> {
    check_files(lock.database(), options)?;
    let other = lock.name_with_the_log();
    if let Some(other) = other.map_err(|error| lock.database().io(error))? {
        let path = lock.path().to_owned();
        return Err(OpenError::LogElsewhere { path, other });
    }
    check_header(lock.database(), lock.file(), options.open_as)
}

/// Checks the header without the lock, for a caller that does not open the database yet. Returns whether there is a
/// file that is not empty.
pub(super) fn check_unlocked(database: &DatabaseFile, open_as: OpenAs) -> Result<bool, OpenError> {
    if !database.exists() {
        return Ok(false);
    }
    let file = database.open(OpenAs::Embedded)?;
    check_header(database, &file, open_as)?;
    let found = file.metadata().map_err(|error| database.io(error))?;
    Ok(found.len() > 0)
}

/// Checks the file and those next to it without opening them.
pub(super) fn check_files(
    database: &DatabaseFile,
    options: &StoreOptions,
) -> Result<(), OpenError> {
    database.check_beside()?;
    if options.allow_open_permissions {
        return Ok(());
    }
    database.check_permissions()
}

/// Checks the header in the file itself if there is no log: asking `SQLite` would leave new files next to a database
/// that is then refused. If there is a log, only `SQLite` can tell, and it adds no new files.
fn check_header(database: &DatabaseFile, file: &File, open_as: OpenAs) -> Result<(), OpenError> {
    let path = database.path.as_path();
    if beside(path, "-wal").exists() {
        return Ok(());
    }
    let mut bytes = [0; HEADER_LEN];
    let length = read_header(file, &mut bytes).map_err(|error| database.io(error))?;
    let bytes = &bytes[..length];
    if bytes.is_empty() {
        return Ok(());
    }
    if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
        // The power failed during the first write to a new database, and the journal will undo it.
        if beside(path, "-journal").exists() {
            return Ok(());
        }
        let path = path.to_owned();
        return Err(OpenError::NotADatabase { path });
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
    header.check(path, open_as)
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

#[cfg(test)]
mod tests;
