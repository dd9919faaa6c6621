//! Pages of the lists that use cases give.

use crate::domain::page::{self, PageKey, PageQuery, PageTokenError, Position};

/// Which page of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// How many entries at most; 0: the default.
    pub size: u32,
    /// What the page before gave as the token of its next; empty: the first page.
    pub token: String,
    /// Falling instead of rising.
    pub reverse: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The token of the next page; empty at the end.
    pub next_page_token: String,
}

/// A page request whose token was checked.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The last entry of the page before.
    pub(super) after: Option<Position>,
    /// Falling instead of rising.
    pub(super) reverse: bool,
    size: u32,
    query: PageQuery,
}

impl Cursor {
    /// Checks the token against the list that `query` describes.
    pub(super) fn parse(
        request: &PageRequest,
        query: PageQuery,
        key: &PageKey,
    ) -> Result<Self, PageTokenError> {
        let query = query.field(&[u8::from(request.reverse)]);
        let after = key.verify(&query, &request.token)?;
        Ok(Self {
            after,
            reverse: request.reverse,
            size: page::size(request.size),
            query,
        })
    }

    /// How many entries to read: one more than the page holds tells whether there is a next.
    pub(super) const fn limit(&self) -> u32 {
        self.size + 1
    }

    /// The page of what was read.
    pub(super) fn page<T>(
        &self,
        mut items: Vec<T>,
        key: &PageKey,
        position: impl Fn(&T) -> Position,
    ) -> Page<T> {
        let size = usize::try_from(self.size).expect("at most 250");
        let more = items.len() > size;
        items.truncate(size);
        let next_page_token = match items.last() {
            Some(last) if more => key.sign(&self.query, position(last)),
            _ => String::new(),
        };
        Page {
            items,
            next_page_token,
        }
    }

    /// The page of what was read by one who stopped at `stop`; `None`: at the list's end.
    pub(super) fn page_until<T>(
        &self,
        items: Vec<T>,
        stop: Option<Position>,
        key: &PageKey,
        position: impl Fn(&T) -> Position,
    ) -> Page<T> {
        let mut page = self.page(items, key, position);
        if let Some(stop) = stop
            && page.next_page_token.is_empty()
        {
            page.next_page_token = self.token_after(stop, key);
        }
        page
    }

    /// The token of what comes after `place`.
    pub(super) fn token_after(&self, place: Position, key: &PageKey) -> String {
        key.sign(&self.query, place)
    }
}
