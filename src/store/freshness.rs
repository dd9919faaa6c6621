//! Whether what was read of a token is still true.
//!
//! Every commit that may change a credential gets a number, and what it changed keeps the number of its latest
//! change. Whoever keeps a credential in memory keeps with it the [`Stamp`] from before the read: the number of
//! the latest commit at that moment. It is true as long as nothing that it is made of has a later number.
//!
//! What one token's row changes is judged by the credential itself: it is made of its own token and of its
//! parent, so a change of one token makes that token and its children stale without anybody listing the
//! children.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::domain::{id::TokenId, token::Lineage};

/// Slots for the tokens that change alone. Two tokens that share one are only read once more.
const SLOTS: usize = 1 << 16;

/// The moment before a read: the number of the latest commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

#[cfg(test)]
impl Stamp {
    /// One of many that are all different.
    pub(crate) const fn for_tests(nth: u64) -> Self {
        Self(nth)
    }
}

/// When what credentials are made of changed last. The numbers never come round: 64 bits.
#[derive(Debug)]
pub(super) struct Freshness {
    latest: AtomicU64,
    everything: AtomicU64,
    last_uses: AtomicU64,
    tokens: Box<[AtomicU64]>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            latest: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            last_uses: AtomicU64::new(0),
            tokens: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Freshness {
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.latest.load(SeqCst))
    }

    /// Makes what the commit changed stale. Called after the commit and before anybody is told of it: whoever
    /// has the number of this commit in a stamp began to read after the commit, and whoever read before it has
    /// an older stamp.
    pub(super) fn committed(&self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let number = self.latest.fetch_add(1, SeqCst) + 1;
        if changes.everything {
            self.everything.fetch_max(number, SeqCst);
        }
        if changes.last_uses {
            self.last_uses.fetch_max(number, SeqCst);
        }
        for id in &changes.tokens {
            self.slot(*id).fetch_max(number, SeqCst);
        }
    }

    /// Whether the credential of that lineage, which was read after `stamp`, still decides as it did.
    pub(super) fn still_decides(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        let token = &lineage.token;
        [Some(token.id), token.parent_id]
            .into_iter()
            .flatten()
            .map(|id| self.slot(id))
            .chain([&self.everything])
            .all(|changed| changed.load(SeqCst) <= stamp.0)
    }

    /// Likewise, and whether what decides nothing is the same, too: the last use.
    pub(super) fn is_unchanged(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.last_uses.load(SeqCst) <= stamp.0 && self.still_decides(stamp, lineage)
    }

    fn slot(&self, id: TokenId) -> &AtomicU64 {
        &self.tokens[usize::from(id.id().random_bits())]
    }
}

/// What a transaction changed of what credentials are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    everything: bool,
    last_uses: bool,
    tokens: Vec<TokenId>,
}

impl Changes {
    const fn is_empty(&self) -> bool {
        !self.everything && !self.last_uses && self.tokens.is_empty()
    }

    /// Adds those of another piece of work in the same transaction.
    pub(super) fn add(&mut self, more: Self) {
        self.everything |= more.everything;
        self.last_uses |= more.last_uses;
        self.tokens.extend(more.tokens);
    }
}

/// Where a transaction notes its changes.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Changes>);

impl Notes {
    /// Perhaps anything.
    pub(super) fn everything(&self) {
        self.0.borrow_mut().everything = true;
    }

    /// When and from where tokens were last used.
    pub(super) fn last_uses(&self) {
        self.0.borrow_mut().last_uses = true;
    }

    /// The row of one token.
    pub(super) fn token(&self, id: TokenId) {
        self.0.borrow_mut().tokens.push(id);
    }

    pub(super) fn into_changes(self) -> Changes {
        self.0.into_inner()
    }
}

#[cfg(test)]
mod tests;
