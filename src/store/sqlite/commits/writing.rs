//! Our own commits, told from those of others.

use std::{
    mem,
    sync::{MutexGuard, PoisonError, atomic::Ordering::SeqCst},
};

use rusqlite::Connection;

use super::Commits;
use crate::store::freshness::Changes;

/// What the writer knows of its own connection.
#[derive(Debug, Default)]
pub(super) struct Own {
    data_version: Option<i64>,
}

/// The writer, in a transaction.
pub(in crate::store::sqlite) struct Writing<'a> {
    commits: &'a Commits,
    own: MutexGuard<'a, Own>,
}

impl<'a> Writing<'a> {
    pub(super) fn of(commits: &'a Commits) -> Self {
        let own = commits.writing.lock();
        Self {
            commits,
            own: own.unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// After the commit and before anyone is told of it: what it changed is stale from now on. Also after a
    /// checkpoint that started the log anew.
    pub(in crate::store::sqlite) fn ended(&mut self, connection: &Connection, changes: &Changes) {
        let commits = self.commits;
        // In this order: a commit of another process between the two is in the version, so it is heard.
        let header = commits.index.header();
        let version = data_version(connection);
        let before = mem::replace(&mut self.own.data_version, version);
        if version.is_some() && version == before {
            commits.counters.raise(changes);
        } else {
            commits.counters.raise(&Changes::everything());
        }
        let Some(header) = header else { return };
        if changes.added_a_row() && commits.noted.is(&header) {
            tracing::warn!(
                "commits cannot be heard in the -shm file, so each token is read at each use"
            );
            commits.deaf.store(true, SeqCst);
        }
        commits.noted.set(&header);
    }
}

fn data_version(connection: &Connection) -> Option<i64> {
    let mut statement = connection.prepare_cached("PRAGMA data_version").ok()?;
    statement.query_row((), |row| row.get(0)).ok()
}
