//! A transaction as the tables' SQL sees it: statements with `?N` parameters in, rows out, no engine.
//!
//! An enum stands where more engines will: the SQL is written once and no trait is spelled out for them.

use super::{
    error::Error,
    freshness::{Changes, Notes},
    sqlite::session,
    value::Value,
};
use crate::domain::{id::TokenId, time::Timestamp};

/// A transaction that a piece of work runs in. What it can do stands in the tables' modules.
#[derive(Debug)]
pub struct Tx<'a> {
    engine: Engine<'a>,
    notes: Notes,
}

#[derive(Debug)]
enum Engine<'a> {
    Sqlite(session::Session<'a>),
}

impl<'a> Tx<'a> {
    pub(super) fn sqlite(session: session::Session<'a>) -> Self {
        Self {
            engine: Engine::Sqlite(session),
            notes: Notes::default(),
        }
    }

    /// Whether a statement found no room on the disk.
    pub(super) fn met_full_disk(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(session) => session.met_full_disk(),
        }
    }

    /// What the statements changed of what credentials are made of.
    pub(super) fn into_changes(self) -> Changes {
        self.notes.into_changes()
    }

    /// Runs a statement that answers no rows; how many rows it changed. Where it changed any, no credential
    /// that was read before counts any more; the next two are for what changes less.
    pub(super) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let changed = self.run(sql, params)?;
        if changed > 0 {
            self.notes.everything();
        }
        Ok(changed)
    }

    /// Adds a row, and touches no other: whatever was read before is as true as it was.
    pub(super) fn insert(&self, sql: &str, params: &[Value<'_>]) -> Result<(), Error> {
        self.run(sql, params)?;
        self.notes.row();
        Ok(())
    }

    /// Runs a statement that changes the token `id` and nothing that another one's credential depends on;
    /// whether it did.
    pub(super) fn execute_alone(
        &self,
        id: TokenId,
        sql: &str,
        params: &[Value<'_>],
    ) -> Result<bool, Error> {
        let changed = self.run(sql, params)? > 0;
        if changed {
            self.notes.token(id);
        }
        Ok(changed)
    }

    /// Runs a statement that changes nothing that decides on a credential: what was read before goes on
    /// counting.
    pub(super) fn execute_aside(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let changed = self.run(sql, params)?;
        if changed > 0 {
            self.notes.aside();
        }
        Ok(changed)
    }

    fn run(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        match &self.engine {
            Engine::Sqlite(session) => session.execute(sql, params),
        }
    }

    /// Whether the statement, which names its row by a unique key, changed that row.
    pub(super) fn execute_one(&self, sql: &str, params: &[Value<'_>]) -> Result<bool, Error> {
        Ok(self.execute(sql, params)? > 0)
    }

    /// The first row, decoded.
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

    /// All rows, decoded.
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

    /// The one number that the query answers.
    pub(super) fn number(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let number = self.find(sql, params, |row| row.int(0))?;
        Ok(number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }

    fn each(
        &self,
        sql: &str,
        params: &[Value<'_>],
        take: &mut dyn FnMut(&Row<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(session) => {
                session.each(sql, params, &mut |row| take(&Row(RowOf::Sqlite(row))))
            }
        }
    }
}

/// A row of an answer.
pub(super) struct Row<'a>(RowOf<'a>);

enum RowOf<'a> {
    Sqlite(session::Row<'a>),
}

impl Row<'_> {
    fn value(&self, at: usize) -> Result<Value<'_>, Error> {
        match &self.0 {
            RowOf::Sqlite(row) => row.value(at),
        }
    }

    /// The error of a column that is not `expected`.
    pub(super) fn bad(&self, at: usize, expected: &'static str) -> Error {
        let column = match &self.0 {
            RowOf::Sqlite(row) => row.column(at),
        };
        Error::Row { column, expected }
    }

    pub(super) fn is_null(&self, at: usize) -> Result<bool, Error> {
        Ok(matches!(self.value(at)?, Value::Null))
    }

    pub(super) fn opt_int(&self, at: usize) -> Result<Option<i64>, Error> {
        match self.value(at)? {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            _ => Err(self.bad(at, "a number")),
        }
    }

    pub(super) fn int(&self, at: usize) -> Result<i64, Error> {
        self.opt_int(at)?.ok_or_else(|| self.bad(at, "a number"))
    }

    pub(super) fn flag(&self, at: usize) -> Result<bool, Error> {
        Ok(self.int(at)? != 0)
    }

    pub(super) fn opt_time(&self, at: usize) -> Result<Option<Timestamp>, Error> {
        Ok(self.opt_int(at)?.map(Timestamp::from_micros))
    }

    pub(super) fn time(&self, at: usize) -> Result<Timestamp, Error> {
        self.int(at).map(Timestamp::from_micros)
    }

    pub(super) fn opt_text(&self, at: usize) -> Result<Option<&str>, Error> {
        match self.value(at)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.bad(at, "a text")),
        }
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, Error> {
        self.opt_text(at)?.ok_or_else(|| self.bad(at, "a text"))
    }

    pub(super) fn string(&self, at: usize) -> Result<String, Error> {
        self.text(at).map(str::to_owned)
    }

    /// A text that `parse` takes, or nothing.
    pub(super) fn opt_parse<T>(
        &self,
        at: usize,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.opt_text(at)?
            .map(|text| parse(text).ok_or_else(|| self.bad(at, expected)))
            .transpose()
    }

    /// A text that `parse` takes.
    pub(super) fn parse<T>(
        &self,
        at: usize,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        parse(self.text(at)?).ok_or_else(|| self.bad(at, expected))
    }

    pub(super) fn blob(&self, at: usize) -> Result<Vec<u8>, Error> {
        match self.value(at)? {
            Value::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Err(self.bad(at, "bytes")),
        }
    }

    pub(super) fn bytes(&self, at: usize) -> Result<[u8; 32], Error> {
        let bytes = match self.value(at)? {
            Value::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        };
        bytes.ok_or_else(|| self.bad(at, "32 bytes"))
    }
}
