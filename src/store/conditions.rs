//! Builds the WHERE clause of a search.

use super::row::Value;

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
