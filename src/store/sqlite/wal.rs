//! Keeps the write-ahead log short.
//!
//! `SQLite`'s own checkpoints wait for nobody, so readers that overlap without a gap, or commits that follow each
//! other without one, would let the log grow for ever. Now and then, therefore, the writer itself makes a
//! checkpoint that waits for the readers, whose transactions are short, and the log begins anew. Its file
//! keeps its size: to write over what is there is quicker than to append.

use std::{
    fs, mem,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

use super::{checkpoints::Checkpoints, commits::Commits, preflight::beside};
use crate::store::{
    freshness::Changes,
    open::{OpenAs, StoreOptions},
};

/// From so many frames on (4 KiB each), the checkpoint thread copies what there is,
const SOON: u64 = 1_000;
/// and once more after so many more: the fewer, the shorter the commits wait that the disk has meanwhile, and
/// the more it has to do in all.
const STEP: u64 = 500;
/// From so many on the log begins anew, at a moment at which little is left to copy;
const LONG: u64 = 2_000;
/// from so many on at once. One batch of writes adds at most a few MiB.
const TOO_LONG: u64 = 2_500;
/// Where a reader stands in the way, it is tried again after so many more.
const RETRY: u64 = 500;
/// How long a checkpoint waits for readers: another process's may take long, such as a backup's.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who serves hears of commits, and has a thread for checkpoints.
pub(super) struct Served<'a> {
    pub(super) commits: &'a Commits,
    pub(super) checkpoints: &'a Checkpoints,
}

pub(super) struct Wal {
    path: PathBuf,
    busy_timeout: Duration,
    open_as: OpenAs,
    /// How long the log was last.
    last: u64,
    /// At how many frames the thread is asked next.
    ask_at: u64,
    /// At how many frames the log begins anew.
    long: u64,
}

impl Wal {
    pub(super) fn new(database: &Path, options: &StoreOptions) -> Self {
        Self {
            path: beside(database, "-wal"),
            busy_timeout: options.busy_timeout,
            open_as: options.open_as,
            last: 0,
            ask_at: SOON,
            long: long(options.open_as),
        }
    }

    /// After a commit. Where a reader stands in the way of a new beginning, it is tried again once the log has
    /// grown more.
    pub(super) fn keep_short(&mut self, connection: &Connection, served: Option<&Served<'_>>) {
        let frames = match served {
            Some(served) => served.commits.frames(),
            None => self.frames_of_file(),
        };
        if frames < mem::replace(&mut self.last, frames) {
            (self.ask_at, self.long) = (SOON, long(self.open_as));
        }
        let Some(served) = served else {
            if frames >= self.long && self.checkpoint(connection, "TRUNCATE") != Ok(true) {
                self.long = frames + RETRY;
            }
            return;
        };
        if frames >= self.ask_at {
            served.checkpoints.ask();
            self.ask_at = frames + STEP;
        }
        if frames < self.long {
            return;
        }
        let turn = match frames {
            TOO_LONG.. => Some(served.checkpoints.turn()),
            _ => served.checkpoints.try_turn(),
        };
        if let Some(mut turn) = turn {
            let mut writing = served.commits.writing();
            let restart = || self.checkpoint(connection, "RESTART");
            if turn.attempt(served.commits, restart) != Some(true) {
                self.long = frames + RETRY;
            }
            writing.ended(connection, &Changes::default());
        }
    }

    /// At the end. A tool leaves the log to the server beside it; where there is none, `SQLite` itself clears
    /// the log when the last connection closes.
    pub(super) fn empty(&self, connection: &Connection, served: Option<&Served<'_>>) {
        let truncate = || self.checkpoint(connection, "TRUNCATE");
        // One that fails loses nothing: the log still has all.
        let _emptied = match (served, self.open_as) {
            (Some(served), _) => served.checkpoints.turn().attempt(served.commits, truncate),
            (None, OpenAs::Serve) => truncate().ok(),
            (None, OpenAs::Tool) => None,
        };
    }

    /// Whether the log will begin anew, or has: not where a reader or another writer stands in the way.
    fn checkpoint(&self, connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
        connection.busy_timeout(PATIENCE.min(self.busy_timeout))?;
        let busy = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |row| {
            row.get::<_, i64>(0)
        });
        connection.busy_timeout(self.busy_timeout)?;
        Ok(busy? == 0)
    }

    fn frames_of_file(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len() / 4_096)
    }
}

/// A tool judges by the size of the file, which may be longer than what is in it, and leaves it to the server.
const fn long(open_as: OpenAs) -> u64 {
    match open_as {
        OpenAs::Serve => LONG,
        OpenAs::Tool => TOO_LONG + RETRY,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::{
        domain::note::Note,
        store::{
            Db, Error, Tx,
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
        let mut longest = 0;
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
            longest = longest.max(log.len());
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.await.unwrap();
        }
        let written = fs::metadata(folder.path()).unwrap().len();
        assert!(written > LIMIT, "{written} bytes were not enough to see");
        assert!(longest <= LIMIT, "{longest}");
    }
}
