//! Whether the file that is open is still the one at its path. A database that was moved away or replaced
//! would go on taking writes that nobody ever finds again.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::store::error::{Error, Unavailable};

/// The file that was opened.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file that is at `path` now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: file.dev(),
            inode: file.ino(),
        })
    }

    /// Costs about a microsecond, so each batch can ask.
    pub(super) fn check(&self) -> Result<(), Error> {
        match fs::metadata(&self.path) {
            Ok(file) if (file.dev(), file.ino()) == (self.device, self.inode) => Ok(()),
            _ => Err(Error::unavailable(Unavailable::Moved)),
        }
    }
}
