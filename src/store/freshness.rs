//! Whether what was read of a token is still true: counters that a commit raises for what it changed.
//!
//! Whoever keeps a credential in memory keeps the [`Stamp`] from before the read beside it. Where the stamp
//! of now is equal, nothing was committed in between that could make the credential read otherwise. How an
//! engine hears of commits, those of other processes too, is its own matter.

mod counters;

use std::cell::RefCell;

use crate::domain::id::TokenId;

pub(super) use counters::Counters;

/// The moment that a read began, as far as one token can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    all: u64,
    one: u64,
    aside: u64,
}

impl Stamp {
    /// Whether what was read under this stamp decides now, at `now`, as it did. Where they are equal, it is
    /// the same in what decides nothing, too.
    pub fn decides_as(&self, now: &Self) -> bool {
        (self.all, self.one) == (now.all, now.one)
    }
}

#[cfg(test)]
impl Stamp {
    /// One of many that are all different.
    pub(crate) const fn for_tests(nth: u64) -> Self {
        Self {
            all: nth,
            one: 0,
            aside: 0,
        }
    }
}

/// What a transaction changed of what credentials are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    everything: bool,
    tokens: Vec<TokenId>,
    aside: bool,
    added_a_row: bool,
}

impl Changes {
    /// Perhaps anything.
    pub(super) const fn everything() -> Self {
        Self {
            everything: true,
            tokens: Vec::new(),
            aside: true,
            added_a_row: false,
        }
    }

    /// Whether there is a new row in some table.
    pub(super) const fn added_a_row(&self) -> bool {
        self.added_a_row
    }

    /// Adds those of another piece of work in the same transaction.
    pub(super) fn add(&mut self, more: Self) {
        self.everything |= more.everything;
        self.aside |= more.aside;
        self.added_a_row |= more.added_a_row;
        self.tokens.extend(more.tokens);
    }
}

/// Where a transaction notes its changes.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Changes>);

impl Notes {
    pub(super) fn row(&self) {
        self.0.borrow_mut().added_a_row = true;
    }

    pub(super) fn everything(&self) {
        self.0.borrow_mut().everything = true;
    }

    pub(super) fn aside(&self) {
        self.0.borrow_mut().aside = true;
    }

    pub(super) fn token(&self, id: TokenId) {
        self.0.borrow_mut().tokens.push(id);
    }

    pub(super) fn into_changes(self) -> Changes {
        self.0.into_inner()
    }
}

#[cfg(test)]
mod tests;
