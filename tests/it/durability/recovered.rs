//! Compares a database after a fault with what was acknowledged before.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use hallpass::{
    domain::token_text::TokenText,
    store::{Db, OpenAs, StoreOptions},
};
use rusqlite::{Connection, OpenFlags};

use super::{client::id_of, server::database};
use crate::test_app::verify_audit;

/// What the replies say about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its creation was acknowledged, its deletion never requested.
    Live,
    /// Its deletion was requested and not acknowledged.
    Either,
    /// Its deletion was acknowledged.
    Deleted,
}

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Acknowledged creations that are missing.
    pub(super) lost: usize,
    /// Acknowledged deletions that are undone.
    pub(super) back: usize,
    /// Tokens that are deleted without a request.
    pub(super) deleted: usize,
    /// Acknowledged changes without a row in the audit log.
    pub(super) unaudited: usize,
}

impl Losses {
    pub(super) fn sum(&self) -> usize {
        self.lost + self.back + self.deleted + self.unaudited
    }
}

/// Compares the database in `folder` with `known`: the tokens' plaintexts and states.
pub(super) fn compare(folder: &Path, known: &[(&str, State)]) -> rusqlite::Result<Losses> {
    let connection =
        Connection::open_with_flags(database(folder), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let tokens: HashMap<String, (Vec<u8>, bool)> = connection
        .prepare("SELECT id, hash, delete_time IS NOT NULL FROM tokens")?
        .query_map((), |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect::<Result<_, _>>()?;
    let audited: HashMap<(String, String), i64> = connection
        .prepare("SELECT action, target, count(*) FROM audit GROUP BY action, target")?
        .query_map((), |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    // The purge keeps only a user's newest ended tokens, and records how many it removed.
    let purged: i64 = connection.query_one(
        "SELECT coalesce(sum(count), 0) FROM audit WHERE action = 'token.purge'",
        [],
        |row| row.get(0),
    )?;
    let mut gone = 0_usize;
    let mut losses = Losses::default();
    for (token, state) in known {
        let id = id_of(token);
        let hash = TokenText::parse(token)
            .expect("an acknowledged token")
            .hash();
        let mut audit = |action: &str| {
            if audited.get(&(action.to_owned(), id.clone())) != Some(&1) {
                losses.unaudited += 1;
            }
        };
        audit("token.create");
        if *state == State::Deleted {
            audit("token.delete");
        }
        match (tokens.get(&id), state) {
            (Some((found, _)), _) if found != hash.as_bytes() => losses.lost += 1,
            (Some((_, false)), State::Live | State::Either)
            | (Some((_, true)), State::Deleted | State::Either) => {}
            (Some((_, true)), State::Live) => losses.deleted += 1,
            (Some((_, false)), State::Deleted) => losses.back += 1,
            (None, State::Deleted | State::Either) => gone += 1,
            (None, State::Live) => losses.lost += 1,
        }
    }
    losses.lost += gone.saturating_sub(usize::try_from(purged).unwrap_or(0));
    Ok(losses)
}

/// Opens the database in `folder` as `serve` does and checks it all; one sentence per finding.
pub(super) async fn findings(folder: &Path) -> Result<Vec<String>, String> {
    let options = StoreOptions::sqlite(database(folder), OpenAs::Serve);
    let db = Db::open(&options).map_err(|error| format!("{error}: {error:?}"))?;
    let mut findings = db.check().await.map_err(|error| format!("{error:?}"))?;
    drop(db);
    let verdict = Connection::open(database(folder)).and_then(|sql| verify_audit(&sql, None));
    let verdict = verdict.map_err(|error| format!("{error:?}"))?;
    let breaks = verdict.breaks.iter();
    findings.extend(breaks.map(|found| format!("audit row {}: {}", found.sequence, found.problem)));
    Ok(findings)
}

/// Counts equal items for a report.
pub(super) fn tally<T: Ord + Clone>(tally: &mut BTreeMap<T, usize>, what: &T, count: usize) {
    *tally.entry(what.clone()).or_default() += count;
}
