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

    /// Costs a microsecond or two, so each transaction that writes can ask.
    pub(super) fn check(&self) -> Result<(), Error> {
        match fs::metadata(&self.path) {
            Ok(file) if (file.dev(), file.ino()) == (self.device, self.inode) => Ok(()),
            _ => Err(Error::unavailable(Unavailable::Moved)),
        }
    }
}

/// So old may be what a [`Watch`] tells.
const EVERY: Duration = Duration::from_millis(10);

/// For whoever reads: it would ask at each token check, and asking costs a good part of what the check does.
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

    /// That it was so within the last 10 ms. Once it was not, each call asks.
    pub(super) fn check(&self) -> Result<(), Error> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let now = self.begin.elapsed();
        if micros(now) >= self.next.load(Relaxed) {
            self.identity.check()?;
            self.next.store(micros(now + EVERY), Relaxed);
        }
        Ok(())
    }
}
