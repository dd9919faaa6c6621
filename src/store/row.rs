//! The values of parameters and columns, and a row of a result, whose columns are read by name, in the order of the SELECT.

use std::cell::Cell;

use super::error::Error;
use crate::domain::{
    id::{IdText, TokenId, UserId},
    time::Timestamp,
};

/// A parameter of a statement, or a column of a row.
#[derive(Clone, Copy, Hash)]
pub(super) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Id(IdText),
    Blob(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

/// Stored as microseconds.
impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.as_micros())
    }
}

impl From<TokenId> for Value<'_> {
    fn from(id: TokenId) -> Self {
        Self::Id(id.encode())
    }
}

impl From<UserId> for Value<'_> {
    fn from(id: UserId) -> Self {
        Self::Id(id.encode())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8; 32]> for Value<'a> {
    fn from(bytes: &'a [u8; 32]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row as the engine's driver has it.
pub(super) trait Columns {
    fn value(&self, at: usize) -> Result<Value<'_>, Error>;

    /// The name of a column; `None` beyond the last.
    fn name(&self, at: usize) -> Option<&str>;
}

/// A row of a result.
pub(super) struct Row<'a> {
    columns: &'a dyn Columns,
    prefix: &'static str,
    /// The position of the next column: they are read in the order of the SELECT.
    next: &'a Cell<usize>,
}

impl<'a> Row<'a> {
    /// `next` must be 0.
    pub(super) const fn new(columns: &'a dyn Columns, next: &'a Cell<usize>) -> Self {
        Self {
            columns,
            prefix: "",
            next,
        }
    }

    /// The columns of one of several joined tables, whose names begin with `prefix`. Those before it may be unread.
    pub(super) fn with_prefix(&self, prefix: &'static str) -> Self {
        let is_other = |name: &str| !name.starts_with(prefix);
        let mut at = self.next.get();
        while self.columns.name(at).is_some_and(is_other) {
            at += 1;
        }
        self.next.set(at);
        Self { prefix, ..*self }
    }

    /// The value of the next column, which is `name`.
    fn value(&self, name: &str) -> Result<Value<'_>, Error> {
        let at = self.next.get();
        // Comparing the names of a credential's columns takes a fifth of the time of its query, so that only debug
        // builds do it; the tests run every statement.
        if cfg!(debug_assertions) && !self.is_at(at, name) {
            return Err(self.bad(name, "the next one in the statement"));
        }
        self.next.set(at + 1);
        self.columns.value(at)
    }

    fn is_at(&self, at: usize, name: &str) -> bool {
        let found = self.columns.name(at);
        found.and_then(|found| found.strip_prefix(self.prefix)) == Some(name)
    }

    /// The error for a column that is not `expected`.
    pub(super) fn bad(&self, name: &str, expected: &'static str) -> Error {
        let column = format!("{}{name}", self.prefix);
        Error::Row { column, expected }
    }

    /// The only column of a count.
    pub(super) fn only_int(&self) -> Result<i64, Error> {
        match self.columns.value(0)? {
            Value::Int(number) => Ok(number),
            _ => Err(self.bad("count", "a number")),
        }
    }

    pub(super) fn is_null(&self, name: &str) -> Result<bool, Error> {
        let next = self.next.get();
        let is_null = matches!(self.value(name)?, Value::Null);
        // It is read again.
        self.next.set(next);
        Ok(is_null)
    }

    pub(super) fn opt_int(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.value(name)? {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            _ => Err(self.bad(name, "a number")),
        }
    }

    pub(super) fn int(&self, name: &str) -> Result<i64, Error> {
        self.opt_int(name)?
            .ok_or_else(|| self.bad(name, "a number"))
    }

    /// A count, which is never negative.
    pub(super) fn count(&self, name: &str) -> Result<u64, Error> {
        Ok(u64::try_from(self.int(name)?).unwrap_or(0))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        Ok(self.int(name)? != 0)
    }

    pub(super) fn opt_time(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        Ok(self.opt_int(name)?.map(Timestamp::from_micros))
    }

    pub(super) fn time(&self, name: &str) -> Result<Timestamp, Error> {
        Timestamp::from_row(self.int(name)?).ok_or_else(|| self.bad(name, "a time"))
    }

    pub(super) fn opt_text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.value(name)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.bad(name, "a text")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, Error> {
        self.opt_text(name)?.ok_or_else(|| self.bad(name, "a text"))
    }

    pub(super) fn string(&self, name: &str) -> Result<String, Error> {
        self.text(name).map(str::to_owned)
    }

    /// A text that `parse` accepts, or NULL.
    pub(super) fn opt_parse<T>(
        &self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.opt_text(name)?
            .map(|text| parse(text).ok_or_else(|| self.bad(name, expected)))
            .transpose()
    }

    /// A text that `parse` accepts.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        parse(self.text(name)?).ok_or_else(|| self.bad(name, expected))
    }

    pub(super) fn blob(&self, name: &str) -> Result<Vec<u8>, Error> {
        match self.value(name)? {
            Value::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Err(self.bad(name, "bytes")),
        }
    }

    pub(super) fn bytes(&self, name: &str) -> Result<[u8; 32], Error> {
        let bytes = match self.value(name)? {
            Value::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        };
        bytes.ok_or_else(|| self.bad(name, "32 bytes"))
    }
}
