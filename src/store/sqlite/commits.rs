//! Hears of every commit to the file, whichever process makes it.
//!
//! The header of the log's index tells ([`index`]): one that is still the one that was noted last means that
//! nobody has committed since. The writer notes the header that its own commit leaves, and raises the counters
//! for just what that changed. Any other header is another process's commit, which may have changed anything.
//! What tells them apart is `PRAGMA data_version`: it moves by others' commits alone.

mod index;
mod writing;

use std::{
    io,
    path::Path,
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use super::identity::{Identity, Watch};
use crate::{
    domain::id::TokenId,
    store::freshness::{Changes, Counters, Stamp},
};

use index::{Index, Noted};
use writing::Own;
pub(super) use writing::Writing;

/// It must live as long as any connection to the database in this process: see [`Index`].
#[derive(Debug)]
pub(super) struct Commits {
    index: Index,
    watch: Watch,
    counters: Counters,
    /// The header up to which all is heard. It is written by whoever holds `writing`.
    noted: Noted,
    /// Held by the writer throughout its transaction, in which the header moves by itself.
    writing: Mutex<Own>,
    /// The header did not move at a commit of our own: this is not what `SQLite` writes to.
    deaf: AtomicBool,
}

impl Commits {
    /// Of the database at `path`, to which a connection is open: only then is there an index.
    pub(super) fn of(path: &Path, identity: Identity) -> io::Result<Self> {
        Ok(Self {
            index: Index::of(path)?,
            watch: Watch::new(identity),
            counters: Counters::default(),
            noted: Noted::default(),
            writing: Mutex::default(),
            deaf: AtomicBool::new(false),
        })
    }

    /// What is read of the token after this call may be kept under this stamp, and what was kept under an
    /// equal one is as good as read now. `None`: nothing is known, so read, and keep nothing. That the file was
    /// moved away is heard within 10 ms.
    pub(super) fn stamp(&self, id: TokenId) -> Option<Stamp> {
        if self.deaf.load(SeqCst) || self.watch.check().is_err() {
            return None;
        }
        let header = self.index.header()?;
        if !self.noted.is(&header) && !self.catch_up() {
            return None;
        }
        // After the header: another's commit raises the counters before it is noted.
        Some(self.counters.stamp(id))
    }

    /// How many frames the log had at the last commit of our own.
    pub(super) fn frames(&self) -> u64 {
        self.noted.frames()
    }

    /// The next checkpoint copies all that the log holds, whatever was copied before.
    pub(super) fn copy_anew(&self) -> io::Result<()> {
        self.index.forget_copied()
    }

    /// The writer is about to change the file.
    pub(super) fn writing(&self) -> Writing<'_> {
        Writing::of(self)
    }

    /// Another process has committed. False: it may have been our own writer, which has yet to note it.
    fn catch_up(&self) -> bool {
        let _own = match self.writing.try_lock() {
            Ok(own) => own,
            Err(TryLockError::Poisoned(own)) => own.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let Some(header) = self.index.header() else {
            return false;
        };
        if !self.noted.is(&header) {
            self.counters.raise(&Changes::everything());
            self.noted.set(&header);
        }
        true
    }
}

#[cfg(test)]
mod tests;
