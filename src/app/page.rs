//! Pagination of the lists that use cases return.

use crate::domain::page::{self, PageKey, PageQuery, PageTokenError, Position};

/// A request for one page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Maximum number of entries; 0: the default.
    pub size: u32,
    /// The `next_page_token` of the previous page; empty: the first page.
    pub token: String,
    /// Descending order instead of ascending.
    pub reverse: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// The token of the next page; empty at the end.
    pub next_page_token: String,
}

/// A page request whose token was checked.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// Position of the last entry of the previous page.
    pub(super) after: Option<Position>,
    /// Descending order instead of ascending.
    pub(super) reverse: bool,
    size: u32,
    query: PageQuery,
}

impl Cursor {
    /// Checks that the page token was signed for the list that `query` describes.
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

    /// How many entries to read: one more than the page holds, to know whether there is a next page.
    pub(super) const fn limit(&self) -> u32 {
        self.size + 1
    }

    /// A page of `items`, which were read with [`Self::limit`].
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

    /// The same for a read that stopped early, at `stop`; `None`: it reached the end of the list.
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

    /// The page token for the entries after `position`.
    pub(super) fn token_after(&self, position: Position, key: &PageKey) -> String {
        key.sign(&self.query, position)
    }
}
