//! Runs a transaction's statements on a connection.

use std::cell::{Cell, RefCell};

use rusqlite::{
    Connection, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::fault;
use crate::store::{
    error::{Error, Unavailable},
    row::{Columns, Row, Value},
};

/// A connection inside a transaction, which its thread began and will end.
#[derive(Debug)]
pub(in crate::store) struct Session<'a> {
    connection: &'a Connection,
    met_full_disk: Cell<bool>,
    met_failed_write: Cell<bool>,
    failed_sync: RefCell<Option<Error>>,
}

impl<'a> Session<'a> {
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            met_full_disk: Cell::new(false),
            met_failed_write: Cell::new(false),
            failed_sync: RefCell::new(None),
        }
    }

    /// Whether any statement met a full disk, even if the work ignored the error.
    pub(in crate::store) fn met_full_disk(&self) -> bool {
        self.met_full_disk.get()
    }

    /// Whether a write failed in a statement, which may also mean a full disk.
    pub(in crate::store) fn met_failed_write(&self) -> bool {
        self.met_failed_write.get()
    }

    /// The sync that failed in a statement, if any: a large transaction begins to write the log before its commit.
    pub(in crate::store) fn failed_sync(&self) -> Option<Error> {
        self.failed_sync.borrow().clone()
    }

    fn fault(&self, error: rusqlite::Error) -> Error {
        let error = fault::of(error);
        if error.is_failed_sync() {
            self.failed_sync.replace(Some(error.clone()));
        }
        if error.is_full_disk() {
            self.met_full_disk.set(true);
        }
        if fault::is_failed_write(&error) {
            self.met_failed_write.set(true);
        }
        error
    }

    /// After some errors `SQLite` ends the transaction by itself. A further statement would be committed on its own.
    fn check(&self) -> Result<(), Error> {
        if self.connection.is_autocommit() {
            return Err(Error::unavailable(Unavailable::RolledBack));
        }
        Ok(())
    }

    pub(in crate::store) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        self.check()?;
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let changed = statement.execute(params_from_iter(params));
            #[cfg(test)]
            super::tests::plans::note(sql, &statement);
            changed
        };
        let changed = run().map_err(|error| self.fault(error))?;
        Ok(u64::try_from(changed).expect("a usize fits 64 bits"))
    }

    /// Passes rows to `take` one by one until it returns false.
    pub(in crate::store) fn each(
        &self,
        sql: &str,
        params: &[Value<'_>],
        take: &mut dyn FnMut(&Row<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.check()?;
        let fault = |error| self.fault(error);
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        #[cfg(test)]
        super::tests::columns::begin(sql, &statement);
        let mut rows = statement.query(params_from_iter(params)).map_err(fault)?;
        let next = Cell::new(0);
        while let Some(row) = rows.next().map_err(fault)? {
            next.set(0);
            if !take(&Row::new(row, &next))? {
                break;
            }
        }
        #[cfg(test)]
        {
            drop(rows);
            super::tests::plans::note(sql, &statement);
        }
        Ok(())
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Id(id) => ValueRef::Text(id.as_str().as_bytes()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Columns for rusqlite::Row<'_> {
    fn value(&self, at: usize) -> Result<Value<'_>, Error> {
        #[cfg(test)]
        super::tests::columns::note_column(at);
        let bad = |expected| Error::Row {
            column: self.name(at).unwrap_or_default().to_owned(),
            expected,
        };
        match self.get_ref(at).map_err(fault::of)? {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Int(number)),
            ValueRef::Text(bytes) => match str::from_utf8(bytes) {
                Ok(text) => Ok(Value::Text(text)),
                Err(_) => Err(bad("UTF-8")),
            },
            ValueRef::Blob(bytes) => Ok(Value::Blob(bytes)),
            ValueRef::Real(_) => Err(bad("of a type that Hallpass writes")),
        }
    }

    fn name(&self, at: usize) -> Option<&str> {
        self.as_ref().column_name(at).ok()
    }
}
