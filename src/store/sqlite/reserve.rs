//! Reserves disk space for revocations in a file next to the database. When the disk is full the file is deleted, and
//! until it can be filled again only revocations are written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::file::beside;
use crate::store::{
    engine::job::Job,
    error::{Error, Unavailable},
};

/// A revocation adds a few 4 KiB pages to the log until the next checkpoint.
const SIZE: u64 = 4 << 20;
/// How much more space must be free before the reserve is filled again, so that the first write does not use it up at
/// once.
const MARGIN: u64 = 4 << 20;
/// More than a single write to the log needs.
const PROBE_BYTES: usize = 64 << 10;
/// How long after releasing the reserve, or failing to fill it, the next attempt is made.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_spent: AtomicBool,
    next_try: Mutex<Instant>,
}

impl Reserve {
    /// Creates the reserve of the database at `path`. If there is no space for it, it starts out spent.
    pub(super) fn of(path: &Path) -> Self {
        let this = Self {
            path: beside(path, "-reserve"),
            is_spent: AtomicBool::new(false),
            next_try: Mutex::new(Instant::now()),
        };
        match this.fill(0) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                tracing::warn!(
                    "the disk is full: until there is room, only revocations are written"
                );
                this.is_spent.store(true, Ordering::SeqCst);
            }
            Err(error) => {
                tracing::warn!(%error, file = %this.path.display(), "cannot reserve disk space for revocations");
            }
        }
        this
    }

    /// Releases what an earlier process reserved, and returns whether there was any.
    pub(super) fn release_of(path: &Path) -> bool {
        fs::remove_file(beside(path, "-reserve")).is_ok()
    }

    /// Whether only revocations are admitted now.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.load(Ordering::SeqCst)
    }

    /// The `jobs` that may be written now. The others are answered that the disk is full.
    pub(super) fn admit(&self, jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        if self.is_spent() {
            self.refill();
        }
        if self.is_spent() {
            refuse(jobs, &Error::unavailable(Unavailable::Full))
        } else {
            jobs
        }
    }

    /// Called when `fault` ended the transaction of `jobs`. If the disk was full, an unspent reserve is freed, and the
    /// revocations among them are returned to be tried again. All other jobs get the fault as their answer.
    pub(super) fn release_for(&self, jobs: Vec<Box<dyn Job>>, fault: &Error) -> Vec<Box<dyn Job>> {
        if !fault.is_full_disk() || self.is_spent.swap(true, Ordering::SeqCst) {
            for job in jobs {
                job.finish(Some(fault.clone()));
            }
            return Vec::new();
        }
        self.wait();
        tracing::error!("the disk is full: until there is room, only revocations are written");
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::error!(%error, file = %self.path.display(), "cannot delete the reserve file");
        }
        refuse(jobs, fault)
    }

    /// Fills the reserve again, if an attempt is due and there is space.
    fn refill(&self) {
        let next_try = self.next_try.lock();
        if *next_try.unwrap_or_else(PoisonError::into_inner) > Instant::now() {
            return;
        }
        match self.fill(MARGIN) {
            Ok(()) => {
                tracing::info!("the disk has room again: all writes are admitted");
                self.is_spent.store(false, Ordering::SeqCst);
            }
            Err(error) => {
                tracing::debug!(%error, "the disk has no room yet");
                self.wait();
            }
        }
    }

    fn wait(&self) {
        let mut next_try = self.next_try.lock().unwrap_or_else(PoisonError::into_inner);
        *next_try = Instant::now() + EVERY;
    }

    /// Creates the file with its blocks allocated, if `margin` more bytes are free.
    fn fill(&self, margin: u64) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.path)?;
        let found = file.metadata()?;
        if margin == 0 && found.len() == SIZE && found.blocks() * 512 >= SIZE {
            return Ok(());
        }
        let filled = allocate(&file, SIZE + margin).and_then(|()| file.set_len(SIZE));
        if filled.is_err() {
            drop(fs::remove_file(&self.path));
        }
        filled
    }
}

/// Whether the disk, or its owner's quota, is full. `SQLite` reports an exceeded quota like a failing disk, so this
/// tries to write a file, which it then removes.
pub(super) fn is_out_of_room(path: &Path) -> bool {
    let path = beside(path, "-room");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(&vec![1; PROBE_BYTES])
    };
    let written: io::Result<()> = write();
    drop(fs::remove_file(&path));
    written.is_err_and(|error| is_full(&error))
}

/// Answers all jobs but revocations with `fault`, and returns the revocations.
fn refuse(jobs: Vec<Box<dyn Job>>, fault: &Error) -> Vec<Box<dyn Job>> {
    let (revocations, others): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| job.is_revocation());
    for job in others {
        job.finish(Some(fault.clone()));
    }
    revocations
}

fn allocate(mut file: &File, size: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        // The file system does not support it.
        Err(Errno::OPNOTSUPP) => {
            let zeros = [0; 4_096];
            for _ in 0..size / 4_096 {
                file.write_all(&zeros)?;
            }
            Ok(())
        }
        done => Ok(done?),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{engine::job, tests::samples::Folder, tx::Tx};

    fn jobs() -> Vec<Box<dyn Job>> {
        [false, true, false]
            .map(|is_revocation| {
                let work = |_: &Tx<'_>| Ok::<_, Error>(());
                let (job, _) = job::prepare(work, is_revocation);
                job
            })
            .into()
    }

    #[test]
    fn checking_for_space_leaves_nothing_behind() {
        let folder = Folder::new();
        assert!(!is_out_of_room(&folder.path()));
        assert_eq!(folder.files(), [""; 0]);
        // A missing folder is not a full disk.
        assert!(!is_out_of_room(&folder.path().join("nowhere")));
    }

    fn revocations(jobs: &[Box<dyn Job>]) -> Vec<bool> {
        jobs.iter().map(|job| job.is_revocation()).collect()
    }

    #[test]
    fn a_full_disk_releases_the_reserve_and_admits_only_revocations() {
        let folder = Folder::new();
        let reserve = Reserve::of(&folder.path());
        let file = beside(&folder.path(), "-reserve");
        assert!(fs::metadata(&file).unwrap().blocks() * 512 >= SIZE);
        assert_eq!(reserve.admit(jobs()).len(), 3);

        // The control: other faults do not release the reserve.
        let other = Error::unavailable(Unavailable::Busy);
        assert!(reserve.release_for(jobs(), &other).is_empty());
        assert!(file.exists() && !reserve.is_spent());

        let full = Error::unavailable(Unavailable::Full);
        assert_eq!(revocations(&reserve.release_for(jobs(), &full)), [true]);
        assert!(!file.exists() && reserve.is_spent());
        assert!(
            reserve.release_for(jobs(), &full).is_empty(),
            "no second one"
        );
        assert_eq!(revocations(&reserve.admit(jobs())), [true]);

        // The next attempt finds space.
        *reserve.next_try.lock().unwrap() = Instant::now();
        assert_eq!(reserve.admit(jobs()).len(), 3);
        assert!(fs::metadata(&file).unwrap().blocks() * 512 >= SIZE);
        assert!(!reserve.is_spent());
    }
}
