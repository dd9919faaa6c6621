//! Pieces of the SQL of lists and searches: a WHERE clause, and where a page starts.

use super::row::Value;
use crate::domain::{
    id::{Id, IdText},
    page::Position,
};

/// SQL conditions with the values of their `?N` parameters.
#[derive(Default)]
pub(super) struct Conditions<'a> {
    pub(super) sql: String,
    pub(super) params: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    /// Adds a parameter and returns its `?N`.
    pub(super) fn add(&mut self, value: impl Into<Value<'a>>) -> String {
        self.params.push(value.into());
        format!("?{}", self.params.len())
    }

    /// Appends a condition, replacing each `?` with the parameter for `value`.
    pub(super) fn put(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        let number = self.add(value);
        self.sql.push_str(&condition.replace('?', &number));
    }

    /// Appends a further condition, joined by AND.
    pub(super) fn and(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        self.sql.push_str(" AND ");
        self.put(condition, value);
    }
}

/// The bound of a row-value comparison `(create_time, id) > (?, ?)`, or `<` in reverse.
pub(super) struct Keyset {
    create_time: i64,
    id: IdText,
}

impl Keyset {
    /// The position `after`, or the beginning of the list.
    pub(super) fn new(after: Option<Position>, reverse: bool) -> Self {
        let (create_time, id) = match after {
            Some(Position { major, minor }) => (major, minor),
            // Beyond any row's time.
            None if reverse => (i64::MAX, u128::MAX),
            None => (i64::MIN, 0),
        };
        Self {
            create_time,
            id: Id::from_u128(id).encode(),
        }
    }

    pub(super) fn time(&self) -> Value<'static> {
        self.create_time.into()
    }

    pub(super) fn id(&self) -> Value<'_> {
        self.id.as_str().into()
    }
}
