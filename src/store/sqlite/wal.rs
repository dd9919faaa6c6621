//! Keeps the write-ahead log short.
//!
//! `SQLite`'s own checkpoints wait for nobody, so readers that overlap without a gap, or commits that follow each
//! other without one, would let the log grow for ever. Now and then, therefore, the writer itself makes a
//! checkpoint that waits for the readers, whose transactions are short, and the log begins anew. Its file
//! keeps its size: to write over what is there is quicker than to append.
//!
//! For a read that is long it does not wait: the log grows behind it, up to a bound at which that read is ended.
//! What has then gathered is copied by the checkpoint thread, while the writer goes on.

use std::{mem, time::Duration};

use rusqlite::Connection;

use super::{
    checkpoint::{Mode, checkpoint},
    shared::Shared,
};
use crate::store::open::StoreOptions;

/// From so many frames on (4 KiB each), the checkpoint thread copies what there is,
const SOON: u64 = 1_000;
/// and once more after so many more: the fewer, the shorter the commits wait that the disk has meanwhile, and
/// the more it has to do in all.
const STEP: u64 = 500;
/// From so many on the log begins anew, at a moment at which the checkpoint thread rests;
const LONG: u64 = 2_000;
/// from so many on at once, unless there is as much to copy. One batch of writes adds at most a few MiB.
const TOO_LONG: u64 = 2_500;
/// Where a reader stands in the way, it is tried again after so many more.
const RETRY: u64 = 500;
/// How long a checkpoint waits for readers, and from which age on it does not wait for one.
const PATIENCE: Duration = Duration::from_millis(100);
/// A frame has a page and a header of its own.
const FRAME_BYTES: u64 = 4_096 + 24;

/// What the writer does to keep the write-ahead log short.
pub(super) struct Wal<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    busy_timeout: Duration,
    /// From how many frames on the oldest read is ended.
    most: u64,
    /// How long the log was last.
    last: u64,
    /// At how many frames the thread is asked next.
    ask_at: u64,
    /// At how many frames the log begins anew.
    long: u64,
}

impl<'a> Wal<'a> {
    pub(super) const fn new(
        connection: &'a Connection,
        shared: &'a Shared,
        options: &StoreOptions,
    ) -> Self {
        Self {
            connection,
            shared,
            busy_timeout: options.busy_timeout,
            most: options.max_log_bytes / FRAME_BYTES,
            last: 0,
            ask_at: SOON,
            long: LONG,
        }
    }

    /// After a commit.
    pub(super) fn keep_short(&mut self) {
        let Ok(log) = checkpoint(self.connection, Mode::Look) else {
            return;
        };
        if log.frames < mem::replace(&mut self.last, log.frames) {
            (self.ask_at, self.long) = (SOON, LONG);
        }
        let checkpointer = &self.shared.checkpointer;
        if log.frames >= self.ask_at {
            checkpointer.ask();
            self.ask_at = log.frames + STEP;
        }
        if log.frames < self.long {
            return;
        }
        if self.shared.open_reads.oldest() >= PATIENCE {
            if log.frames >= self.most {
                self.shared.open_reads.end_oldest();
            }
            self.long = log.frames + RETRY;
            return;
        }
        let is_little = log.frames.saturating_sub(log.copied) < TOO_LONG;
        let turn = if log.frames >= 2 * self.most || (log.frames >= TOO_LONG && is_little) {
            Some(checkpointer.turn())
        } else {
            if !is_little {
                checkpointer.ask();
            }
            checkpointer.try_turn()
        };
        if turn.is_some() && !self.wait_and(Mode::Restart) {
            self.long = log.frames + RETRY;
        }
    }

    /// At the end.
    pub(super) fn empty(&self) {
        let _turn = self.shared.checkpointer.turn();
        self.wait_and(Mode::Truncate);
    }

    /// Whether the log will begin anew, or has: not where a reader stands in the way.
    fn wait_and(&self, mode: Mode) -> bool {
        drop(self.connection.busy_timeout(PATIENCE));
        let made = checkpoint(self.connection, mode);
        drop(self.connection.busy_timeout(self.busy_timeout));
        match made {
            Ok(log) => !log.is_busy,
            // One that fails in another way than by a sync loses nothing: the log still has all.
            Err(error) => {
                self.shared.owner.end_on_failed_sync(&error);
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
        super::{Engine, connect, place::beside},
        *,
    };
    use crate::{
        domain::note::Note,
        store::{
            Db, Error, OpenAs, Tx, Unavailable,
            samples::{Folder, hash, person, token},
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
    async fn the_log_stays_within_16_mib_under_readers_that_overlap() {
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
        // A busy machine may hold a reader up for longer than one is waited for. Then the log is longer for a while,
        // but within the bound at which reads are ended.
        assert!(lengths[lengths.len() / 2] <= LIMIT, "{lengths:?}");
        let bound = 2 * folder.options(OpenAs::Serve).max_log_bytes;
        assert!(lengths[lengths.len() - 1] <= bound, "{lengths:?}");
    }

    /// Writes so much into the log that another attempt is due.
    fn grow(connection: &Connection, nth: i64) {
        let bytes = i64::try_from(RETRY * FRAME_BYTES).unwrap();
        let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('filler' || ?1, zeroblob(?2))";
        connection.execute(sql, [nth, bytes]).unwrap();
    }

    #[test]
    fn a_read_that_is_long_is_not_waited_for() {
        // The control is a writer that asks for a new beginning whoever is in the way.
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
            while engine.shared.open_reads.oldest() < PATIENCE {
                thread::yield_now();
            }
            let mut wal = Wal::new(&writer, &engine.shared, &options);
            let mut took = Vec::new();
            for nth in 0..10 {
                grow(&writer, nth);
                let begin = Instant::now();
                if waits {
                    assert!(!wal.wait_and(Mode::Restart));
                } else {
                    wal.keep_short();
                }
                took.push(begin.elapsed());
            }
            took.sort();
            // The load of the machine may delay one or two.
            let waited = took[took.len() - 3] >= PATIENCE;
            assert_eq!(waited, waits, "{took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_read_behind_which_the_log_grows_too_much_is_ended() {
        let folder = Folder::new();
        let mut options = folder.options(OpenAs::Serve);
        options.max_log_bytes = LIMIT;
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
        // The log begins anew, and is cut.
        while log() > LIMIT {
            write(writes).await;
            writes += 1;
            assert!(writes < 1_000);
        }
    }
}
