//! A transaction as the tables' SQL sees it: statements with `?N` parameters go in, rows come out, and the engine is
//! hidden.
//!
//! The engine is an enum, to which a second one would be added, so that the SQL is written once and no trait is
//! needed.

use std::{
    cell::RefCell,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    iter,
    net::IpAddr,
};

use super::{
    engine::freshness::{Freshness, Invalidations, Notes, Stamp},
    error::Error,
    row::{Row, Value},
    sqlite::session,
};
use crate::domain::{
    id::TokenId,
    time::Timestamp,
    token::{LastUse, Lineage},
};

/// The transaction that a piece of work runs in. The tables' modules have the operations.
#[derive(Debug)]
pub struct Tx<'a> {
    engine: Engine<'a>,
    notes: Notes,
    /// What commits changed, and what others changed in this transaction before. `None` if that is not known.
    changed: Option<(&'a Freshness, &'a Invalidations)>,
    /// `None` but in tests that run each write twice.
    trace: Option<RefCell<Trace>>,
}

/// The statements that a piece of work ran, each with a hash of its parameters.
pub(super) type Trace = Vec<(String, u64)>;

#[derive(Debug)]
enum Engine<'a> {
    Sqlite(session::Session<'a>),
}

impl<'a> Tx<'a> {
    pub(super) fn sqlite(session: session::Session<'a>) -> Self {
        Self {
            engine: Engine::Sqlite(session),
            notes: Notes::default(),
            changed: None,
            trace: None,
        }
    }

    /// Lets credentials from memory be used: `freshness` knows of all commits before this transaction, and `changes`
    /// were made in it already.
    pub(super) fn after(self, freshness: &'a Freshness, changes: &'a Invalidations) -> Self {
        Self {
            changed: Some((freshness, changes)),
            ..self
        }
    }

    /// Whether a credential that was read after `stamp` would still decide the same if this transaction read it. False
    /// where only reading can tell.
    pub fn still_decides(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.changed.is_some_and(|(freshness, changes)| {
            freshness.still_decides(stamp, lineage)
                && !changes.concern(lineage)
                && !self.notes.concern(lineage)
        })
    }

    /// Records the statements that run.
    pub(super) fn traced(self) -> Self {
        Self {
            trace: Some(RefCell::default()),
            ..self
        }
    }

    /// The statements that ran, if they were recorded.
    pub(super) fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take().map(RefCell::into_inner)
    }

    fn record(&self, sql: &str, params: &[Value<'_>]) {
        if let Some(trace) = &self.trace {
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(params);
            trace.borrow_mut().push((sql.to_owned(), hash));
        }
    }

    /// Whether a statement met a full disk.
    pub(super) fn met_full_disk(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(session) => session.met_full_disk(),
        }
    }

    /// Whether a write failed in a statement, which may also mean a full disk.
    pub(super) fn met_failed_write(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(session) => session.met_failed_write(),
        }
    }

    /// The sync that failed in a statement, if any.
    pub(super) fn failed_sync(&self) -> Option<Error> {
        match &self.engine {
            Engine::Sqlite(session) => session.failed_sync(),
        }
    }

    /// The parts of credentials that the statements changed.
    pub(super) fn into_invalidations(self) -> Invalidations {
        self.notes.into_invalidations()
    }

    /// Runs a statement that returns no rows, and returns how many rows it changed. If it changed any, every
    /// credential read before becomes stale. The more specific methods below make less stale.
    pub(super) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let changed = self.run(sql, params)?;
        if changed > 0 {
            self.notes.everything();
        }
        Ok(changed)
    }

    /// Inserts a row. Makes nothing stale, since no credential exists for a missing row. A statement that might also
    /// touch other rows is treated like [`execute`](Self::execute).
    pub(super) fn insert(&self, sql: &str, params: &[Value<'_>]) -> Result<(), Error> {
        if sql.starts_with("INSERT INTO ") && !sql.contains("ON CONFLICT") {
            self.run(sql, params).map(drop)
        } else {
            self.execute(sql, params).map(drop)
        }
    }

    /// Updates the row of the token `id` as `set` says, if `condition` holds, and returns whether it did. Makes that
    /// token and its children stale. Further parameters start at `?2`.
    pub(super) fn update_token(
        &self,
        id: TokenId,
        set: &str,
        condition: &str,
        params: &[Value<'_>],
    ) -> Result<bool, Error> {
        let sql = format!("UPDATE tokens SET {set} WHERE id = ?1 AND ({condition})");
        let params: Vec<_> = iter::once(id.into())
            .chain(params.iter().copied())
            .collect();
        let changed = self.run(&sql, &params)? > 0;
        if changed {
            self.notes.token(id);
        }
        Ok(changed)
    }

    /// Stores a later use of the token `id`, if it exists. No decision becomes stale, since none depends on the last
    /// use.
    pub(super) fn set_last_use(&self, id: TokenId, last_use: &LastUse) -> Result<(), Error> {
        let sql = "UPDATE tokens SET last_use_time = ?2, last_use_ip = ?3, last_use_reporter_ip = ?4 \
                   WHERE id = ?1 AND (last_use_time IS NULL OR last_use_time < ?2)";
        let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_canonical().to_string());
        let (ip, reporter_ip) = (text(last_use.ip), text(last_use.reporter_ip));
        let params = [
            id.into(),
            last_use.time.into(),
            ip.as_deref().into(),
            reporter_ip.as_deref().into(),
        ];
        if self.run(sql, &params)? > 0 {
            self.notes.last_uses();
        }
        Ok(())
    }

    /// Removes the row of the token `id`, and returns whether there was one. Makes that token and its children stale.
    pub(super) fn remove_token(&self, id: TokenId) -> Result<bool, Error> {
        let removed = self.run("DELETE FROM tokens WHERE id = ?1", &[id.into()])? > 0;
        if removed {
            self.notes.token(id);
        }
        Ok(removed)
    }

    /// Notes that this row of the audit log was appended.
    pub(super) fn note_audit_row(&self, sequence: i64) {
        self.notes.audit_row(sequence);
    }

    /// Removes the audit rows from 1 to `last`. Makes nothing stale, since no credential depends on them.
    pub(super) fn remove_audit_rows(&self, last: i64) -> Result<u64, Error> {
        let sql = "DELETE FROM audit WHERE sequence > 0 AND sequence <= ?1";
        self.run(sql, &[last.into()])
    }

    /// Stores how far an audit sink is. Makes nothing stale, since no credential depends on it.
    pub(super) fn set_sink_position(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.run(sql, &[key.into(), Value::Blob(value)]).map(drop)
    }

    /// Records when a job last ran. Makes nothing stale, since no credential depends on it.
    pub(super) fn set_job_time(&self, name: &str, time: Timestamp) -> Result<(), Error> {
        let sql = "INSERT INTO jobs (name, last_time) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET last_time = excluded.last_time";
        self.run(sql, &[name.into(), time.into()]).map(drop)
    }

    /// Invalidations the known networks. Makes nothing stale, since no credential depends on them.
    pub(super) fn change_known_networks(
        &self,
        sql: &str,
        params: &[Value<'_>],
    ) -> Result<u64, Error> {
        self.run(sql, params)
    }

    fn run(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        self.record(sql, params);
        match &self.engine {
            Engine::Sqlite(session) => session.execute(sql, params),
        }
    }

    /// Runs a statement that selects its row by a unique key, and returns whether it changed the row.
    pub(super) fn execute_one(&self, sql: &str, params: &[Value<'_>]) -> Result<bool, Error> {
        Ok(self.execute(sql, params)? > 0)
    }

    /// Decodes the first row.
    pub(super) fn find<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        decode: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        self.each(sql, params, &mut |row| {
            found = Some(decode(row)?);
            Ok(false)
        })?;
        Ok(found)
    }

    /// Decodes all rows.
    pub(super) fn list<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        decode: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        self.each(sql, params, &mut |row| {
            rows.push(decode(row)?);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// The number that the query returns.
    pub(super) fn number(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let number = self.find(sql, params, |row| {
            Ok(u64::try_from(row.only_int()?).unwrap_or(0))
        })?;
        Ok(number.unwrap_or(0))
    }

    fn each(
        &self,
        sql: &str,
        params: &[Value<'_>],
        take: &mut dyn FnMut(&Row<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.record(sql, params);
        match &self.engine {
            Engine::Sqlite(session) => session.each(sql, params, take),
        }
    }
}
