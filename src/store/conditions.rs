//! Conditions of a search, which are put together from what is asked for.

use super::value::Value;

/// A condition under construction: SQL, and the values for its `?N`.
#[derive(Default)]
pub(super) struct Conditions<'a> {
    pub(super) sql: String,
    pub(super) params: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    /// Where to put `value`: its `?N`.
    pub(super) fn add(&mut self, value: impl Into<Value<'a>>) -> String {
        self.params.push(value.into());
        format!("?{}", self.params.len())
    }

    /// Adds a condition, whose `?` stands for `value`.
    pub(super) fn put(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        let number = self.add(value);
        self.sql.push_str(&condition.replace('?', &number));
    }

    /// The same, which must be met besides.
    pub(super) fn and(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        self.sql.push_str(" AND ");
        self.put(condition, value);
    }
}
