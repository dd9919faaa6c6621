//! Whether the file that is open is still the one at its path. A database that was moved away or replaced
//! would go on taking writes that nobody ever finds again.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
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

/// Whoever asks all the time is told what was so at most this long ago: asking the file system costs a good part
/// of what a token check from memory does.
const EVERY: Duration = Duration::from_millis(10);

/// The same for whoever asks all the time.
#[derive(Debug)]
pub(super) struct Watch {
    identity: Identity,
    begin: Instant,
    /// When to ask next, in microseconds since the beginning.
    next: AtomicU64,
}

impl Watch {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            begin: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// Whether it was still so within the last 10 ms. Once it was not, each call asks.
    pub(super) fn is_well(&self) -> bool {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let now = self.begin.elapsed();
        if micros(now) < self.next.load(Relaxed) {
            return true;
        }
        let is_well = self.identity.check().is_ok();
        if is_well {
            self.next.store(micros(now + EVERY), Relaxed);
        }
        is_well
    }
}
