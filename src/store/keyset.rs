//! The start of a page in a list ordered by (create time, ID).

use super::row::Value;
use crate::domain::{
    id::{Id, IdText},
    page::Position,
};

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
