//! Keeps the write-ahead log short.
//!
//! `SQLite`'s own checkpoints wait for nobody, so readers that overlap without a gap would let the log grow
//! for ever. The writer therefore looks at its size after each commit and, where it is long, makes a
//! checkpoint that waits for the readers, whose transactions are short.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

use super::{commits::Commits, preflight::beside};
use crate::store::{
    freshness::Changes,
    open::{OpenAs, StoreOptions},
};

/// From this size on the log is cut. One batch of writes adds at most a few MiB to it.
const LONG: u64 = 8 << 20;
/// How long a checkpoint waits for readers: another process's may take long, such as a backup's.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Wal {
    path: PathBuf,
    busy_timeout: Duration,
    serves: bool,
    /// The size at which the next checkpoint is tried.
    next: u64,
}

impl Wal {
    pub(super) fn new(database: &Path, options: &StoreOptions) -> Self {
        Self {
            path: beside(database, "-wal"),
            busy_timeout: options.busy_timeout,
            serves: options.open_as == OpenAs::Serve,
            next: LONG,
        }
    }

    /// Cuts the log where it is long. Where a reader stands in the way, tries again once it has grown more.
    pub(super) fn keep_short(&mut self, connection: &Connection, commits: Option<&Commits>) {
        let size = fs::metadata(&self.path).map_or(0, |file| file.len());
        if size >= self.next {
            let mut writing = commits.map(Commits::writing);
            let cut = self.truncate(connection);
            if let Some(writing) = &mut writing {
                // The log begins anew, and nothing is changed by it.
                writing.ended(connection, &Changes::default());
            }
            self.next = if cut { LONG } else { size + LONG / 4 };
        }
    }

    /// At the end. A tool leaves the log to the server beside it; where there is none, `SQLite` itself clears
    /// the log when the last connection closes.
    pub(super) fn empty(&self, connection: &Connection) {
        if self.serves {
            self.truncate(connection);
        }
    }

    fn truncate(&self, connection: &Connection) -> bool {
        let checkpoint = || -> rusqlite::Result<bool> {
            connection.busy_timeout(PATIENCE.min(self.busy_timeout))?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
                Ok(row.get::<_, i64>(0)? == 0)
            })
        };
        // A checkpoint that fails loses nothing: the log still has all.
        let cut = checkpoint().unwrap_or(false);
        connection.busy_timeout(self.busy_timeout).is_ok() && cut
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
