//! The values of parameters and columns.

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
