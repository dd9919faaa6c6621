//! The header of the index of the write-ahead log: the first 48 bytes of the `-shm` file (`SQLite`'s
//! walformat.html, "WAL-index header").
//!
//! Whoever commits writes it before its `COMMIT` returns, and every read transaction begins by looking at it.
//! With a counter, the number of frames, and checksums in it, it is another one after each commit. `SQLite`
//! maps the file; to read it beside the mapping is one positioned read of memory.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use super::super::preflight::beside;

const WORDS: usize = 6;
/// Where `nBackfill` is: how many frames of the log are in the database's file, 32 bits (walformat.html,
/// "WAL-index checkpoint info").
const COPIED: u64 = 96;

/// The header, as it is in memory.
pub(super) type Header = [u64; WORDS];

/// The file. It must stay open as long as any connection to the database is: to close it would drop the
/// locks that `SQLite` holds on it in this process.
#[derive(Debug)]
pub(super) struct Index(pub(super) File);

impl Index {
    /// Of the database at `path`, to which a connection is open: only then is there an index.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::options();
        file.read(true).write(true);
        file.open(beside(path, "-shm")).map(Self)
    }

    /// As it is now. `None`: the file is not what it was.
    pub(super) fn header(&self) -> Option<Header> {
        let mut bytes = [0; size_of::<Header>()];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let mut words = Header::default();
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().expect("chunks of eight"));
        }
        Some(words)
    }

    /// None of the log is taken for copied. That is always true enough: readers find a page in the log first,
    /// and a page may be copied twice.
    pub(super) fn forget_copied(&self) -> io::Result<()> {
        self.0.write_all_at(&[0; 4], COPIED)
    }
}

/// The header up to which all is heard.
#[derive(Debug, Default)]
pub(super) struct Noted([AtomicU64; WORDS]);

impl Noted {
    /// Each word is compared by itself: none of a header that has only partly been noted, or partly been
    /// written, is equal to one that was noted before.
    pub(super) fn is(&self, header: &Header) -> bool {
        let noted = self.0.iter().map(|word| word.load(SeqCst));
        noted.eq(header.iter().copied())
    }

    /// How many frames the log has: the 32 bits at byte 16.
    pub(super) fn frames(&self) -> u64 {
        let [a, b, c, d, ..] = self.0[2].load(SeqCst).to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d]).into()
    }

    pub(super) fn set(&self, header: &Header) {
        for (noted, word) in self.0.iter().zip(header) {
            noted.store(*word, SeqCst);
        }
    }
}
