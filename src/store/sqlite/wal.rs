//! Keeps the write-ahead log short.
//!
//! `SQLite`'s own checkpoints wait for nobody, so continuously overlapping readers, or continuous commits, would let
//! the log grow without limit. So from time to time the writer itself runs a checkpoint that waits for the readers,
//! whose transactions are short, and the log restarts from its beginning. Its file keeps its size, since overwriting
//! is faster than appending.
//!
//! It does not wait for a long read. The log grows behind such a read, up to a limit at which the read is ended. The
//! checkpoint thread then copies what has accumulated while the writer goes on.

use std::{mem, time::Duration};

use rusqlite::Connection;

use super::{
    Shared,
    checkpoint::{CheckpointMode, checkpoint},
    in_use,
};

/// Log length in frames (of 4 KiB) from which the checkpoint thread is asked to copy the log.
const COPY_AT: u64 = 1_000;
/// It is asked again after this many more frames. A smaller step shortens the commits that compete with it for the
/// disk, but adds work in total.
const COPY_AGAIN_AFTER: u64 = 500;
/// Log length from which the log is restarted, when the checkpoint thread is idle.
const RESTART_AT: u64 = 2_000;
/// Log length from which it is restarted at once, unless as much has yet to be copied. A batch of writes adds at most
/// a few MiB.
const RESTART_NOW_AT: u64 = 2_500;
/// After a reader prevented a restart, it is retried after this many more frames.
const RETRY_AFTER: u64 = 500;
/// How long a checkpoint waits for readers. It does not wait for a read that is older.
const READER_WAIT: Duration = Duration::from_millis(100);
/// A frame is a page and its header.
pub(super) const FRAME_BYTES: u64 = 4_096 + 24;

/// Called by the writer to keep the write-ahead log short.
pub(super) struct Wal<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    busy_timeout: Duration,
    /// The log length from which the oldest read is ended.
    max_frames: u64,
    /// The log length at the previous check.
    last: u64,
    /// The log length at which the checkpoint thread is asked next.
    copy_at: u64,
    /// The log length at which the log is restarted.
    restart_at: u64,
}

impl<'a> Wal<'a> {
    pub(super) const fn new(connection: &'a Connection, shared: &'a Shared) -> Self {
        Self {
            connection,
            shared,
            busy_timeout: shared.busy_timeout,
            max_frames: shared.max_log_bytes / FRAME_BYTES,
            last: 0,
            copy_at: COPY_AT,
            restart_at: RESTART_AT,
        }
    }

    /// Call after each commit.
    pub(super) fn keep_short(&mut self) {
        let Ok(log) = checkpoint(self.connection, CheckpointMode::Noop) else {
            return;
        };
        if log.frames < mem::replace(&mut self.last, log.frames) {
            (self.copy_at, self.restart_at) = (COPY_AT, RESTART_AT);
        }
        let checkpointer = &self.shared.checkpointer;
        if log.frames >= self.copy_at {
            checkpointer.request_checkpoint();
            self.copy_at = log.frames + COPY_AGAIN_AFTER;
        }
        if log.frames < self.restart_at {
            return;
        }
        if self.shared.open_reads.oldest() >= READER_WAIT {
            let open_reads = &self.shared.open_reads;
            open_reads.end_oldest(log.frames, self.max_frames);
            self.restart_at = log.frames + RETRY_AFTER;
            return;
        }
        let is_little = log.frames.saturating_sub(log.copied) < RESTART_NOW_AT;
        let guard =
            if log.frames >= 2 * self.max_frames || (log.frames >= RESTART_NOW_AT && is_little) {
                Some(checkpointer.lock())
            } else {
                if !is_little {
                    checkpointer.request_checkpoint();
                }
                checkpointer.try_lock()
            };
        if guard.is_some() && !self.checkpoint_with_wait(CheckpointMode::Restart) {
            self.restart_at = log.frames + RETRY_AFTER;
        }
    }

    /// Call at shutdown.
    pub(super) fn empty(&self) {
        let _guard = self.shared.checkpointer.lock();
        // First, so that even on a full disk there is room for the next change.
        let is_empty = self.checkpoint_with_wait(CheckpointMode::Truncate);
        if !self.shared.is_marked || !is_empty {
            return;
        }
        match in_use::unmark(self.connection) {
            Ok(()) => drop(self.checkpoint_with_wait(CheckpointMode::Truncate)),
            Err(error) => self.shared.lock.end_on_failed_sync(&error),
        }
    }

    /// Runs a checkpoint that waits for readers, and returns whether the log will restart or has been truncated. It
    /// will not if a reader prevented it.
    fn checkpoint_with_wait(&self, mode: CheckpointMode) -> bool {
        drop(self.connection.busy_timeout(READER_WAIT));
        let made = checkpoint(self.connection, mode);
        drop(self.connection.busy_timeout(self.busy_timeout));
        match made {
            Ok(log) => !log.is_busy,
            // Any failure but that of a sync loses nothing: the log still has everything.
            Err(error) => {
                self.shared.lock.end_on_failed_sync(&error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
        time::Instant,
    };

    use r2d2::ManageConnection as _;

    use super::{
        super::{Engine, connect, file::beside},
        *,
    };
    use crate::{
        domain::note::Note,
        store::{
            Db, EngineOptions, Error, OpenAs, SqliteOptions, StoreOptions, Tx, Unavailable,
            tests::samples::{Folder, hash, person, token},
            tokens, users,
        },
    };

    const LIMIT: u64 = 16 << 20;

    async fn read_until(db: Db, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let list =
                |tx: &Tx<'_>| users::list(tx, &users::UserFilter::default(), None, false, 50);
            db.read::<_, Error>(list).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_log_stays_within_16_mib_under_overlapping_readers() {
        let folder = Folder::new();
        let db = folder.open(OpenAs::Serve);
        let user = person("alice");
        let id = user.clone();
        db.write::<_, Error>(move |tx| users::insert(tx, &user, None))
            .await
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..8)
            .map(|_| tokio::spawn(read_until(db.clone(), Arc::clone(&stop))))
            .collect();
        let mut lengths = Vec::new();
        for _ in 0..40 {
            let user = id.clone();
            let fill = move |tx: &Tx<'_>| {
                (0..500).try_for_each(|_| {
                    let mut token = token(&user);
                    token.note = Note::parse("x".repeat(1_000)).unwrap();
                    tokens::insert(tx, &token, &hash(&token))
                })
            };
            db.write::<_, Error>(fill).await.unwrap();
            let log = fs::metadata(beside(&folder.path(), "-wal")).unwrap();
            lengths.push(log.len());
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.await.unwrap();
        }
        let written = fs::metadata(folder.path()).unwrap().len();
        assert!(written > LIMIT, "{written} bytes were not enough to see");
        lengths.sort_unstable();
        // A busy machine may delay a reader for longer than the writer waits. The log is longer then for a while, but
        // within the limit at which reads are ended.
        assert!(lengths[lengths.len() / 2] <= LIMIT, "{lengths:?}");
        let bound = 2 * SqliteOptions::new(folder.path()).max_log_bytes;
        assert!(lengths[lengths.len() - 1] <= bound, "{lengths:?}");
    }

    /// Adds enough to the log that another attempt is due.
    fn grow(connection: &Connection, nth: i64) {
        let bytes = i64::try_from(RETRY_AFTER * FRAME_BYTES).unwrap();
        let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('filler' || ?1, zeroblob(?2))";
        connection.execute(sql, [nth, bytes]).unwrap();
    }

    #[test]
    fn the_writer_does_not_wait_for_a_long_read() {
        // The control: a writer that requests a restart whatever reads are open.
        for waits in [false, true] {
            let folder = Folder::new();
            let options = folder.options(OpenAs::Serve);
            let engine = Engine::open(&options).unwrap();
            let manager = connect::manager(&folder.path(), options.busy_timeout);
            let connect = || manager.connect().unwrap();
            let (reader, writer) = (connect(), connect());
            reader
                .execute_batch("BEGIN; SELECT count(*) FROM users")
                .unwrap();
            let _read = engine.shared.open_reads.open(&reader);
            while engine.shared.open_reads.oldest() < READER_WAIT {
                thread::yield_now();
            }
            let mut wal = Wal::new(&writer, &engine.shared);
            wal.max_frames = u64::MAX;
            let mut took = Vec::new();
            for nth in 0..10 {
                grow(&writer, nth);
                let begin = Instant::now();
                if waits {
                    assert!(!wal.checkpoint_with_wait(CheckpointMode::Restart));
                } else {
                    wal.keep_short();
                }
                took.push(begin.elapsed());
            }
            took.sort();
            // One or two may be delayed by the load of the machine.
            let waited = took[took.len() - 3] >= READER_WAIT;
            assert_eq!(waited, waits, "{took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_read_is_ended_once_the_log_grows_too_much_behind_it() {
        let folder = Folder::new();
        let sqlite = SqliteOptions {
            max_log_bytes: LIMIT,
            ..SqliteOptions::new(folder.path())
        };
        let options = StoreOptions {
            engine: EngineOptions::Sqlite(sqlite),
            ..folder.options(OpenAs::Serve)
        };
        let db = Db::open(&options).unwrap();
        let endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                       SELECT count(*) FROM n, (SELECT count(*) FROM users)";
        let reads = db.clone();
        let read =
            tokio::spawn(async move { reads.read::<_, Error>(|tx| tx.number(endless, &[])).await });
        let log = || fs::metadata(beside(&folder.path(), "-wal")).unwrap().len();
        let write = async |nth: i64| {
            let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, randomblob(2000000))";
            let fill =
                move |tx: &Tx<'_>| tx.execute(sql, &[format!("filler{}", nth % 8).as_str().into()]);
            db.write::<_, Error>(fill).await.unwrap();
        };
        let mut writes = 0;
        while !read.is_finished() {
            write(writes).await;
            writes += 1;
            assert!(log() < 20 * LIMIT, "it is never ended");
        }
        let kind = Unavailable::Interrupted;
        let answer = read.await.unwrap();
        assert!(matches!(answer, Err(Error::Unavailable { kind: k, .. }) if k == kind));
        assert!(log() >= LIMIT, "it was ended too soon");
        // The log restarts and is truncated.
        while log() > LIMIT {
            write(writes).await;
            writes += 1;
            assert!(writes < 1_000);
        }
    }
}
