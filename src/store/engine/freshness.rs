//! Tells whether a credential in memory is still current.
//!
//! Every commit that may affect credentials gets a number, and whatever it changed records the number of its latest
//! change. A credential is cached with the [`Stamp`] taken before it was read: the number of the latest commit at
//! that time. It is current as long as nothing it consists of has a later number.
//!
//! A change to a single token is recorded for that token alone. A credential consists of its own token and its
//! parent, so the change makes the token and its children stale without anyone listing the children.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use tokio::sync::watch;

use crate::domain::{id::TokenId, token::Lineage};

/// Slots for changes to single tokens. If two tokens share a slot, the only cost is an extra read.
const SLOTS: usize = 1 << 16;

/// The number of the latest commit before a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

#[cfg(test)]
impl Stamp {
    /// One of many distinct stamps.
    pub(crate) const fn for_tests(nth: u64) -> Self {
        Self(nth)
    }
}

/// When each part of the credentials last changed. The 64-bit numbers never wrap around.
#[derive(Debug)]
pub(in crate::store) struct Freshness {
    latest: AtomicU64,
    everything: AtomicU64,
    last_uses: AtomicU64,
    /// The number of the last audit row that this process has committed; 0: none yet.
    audit_rows: watch::Sender<i64>,
    tokens: Box<[AtomicU64]>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            latest: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            last_uses: AtomicU64::new(0),
            audit_rows: watch::Sender::new(0),
            tokens: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Freshness {
    pub(in crate::store) fn stamp(&self) -> Stamp {
        Stamp(self.latest.load(SeqCst))
    }

    /// Makes whatever the commit changed stale. Must be called after the commit and before anyone gets an answer: a
    /// stamp with this commit's number is then from a read that began after the commit, and every earlier read has an
    /// older stamp.
    pub(in crate::store) fn committed(&self, changes: &Invalidations) {
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

    /// Tells whoever follows the audit log of the rows that the commit appended. Must be called before anyone gets an
    /// answer, and only if the commit succeeded.
    pub(in crate::store) fn appended(&self, changes: &Invalidations) {
        let last = changes.last_audit_row;
        self.audit_rows.send_if_modified(|before| {
            let is_newer = last > *before;
            *before = last.max(*before);
            is_newer
        });
    }

    pub(in crate::store) fn audit_rows(&self) -> watch::Receiver<i64> {
        self.audit_rows.subscribe()
    }

    /// Whether a credential that was read after `stamp` would still decide the same.
    pub(in crate::store) fn still_decides(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        let token = &lineage.token;
        [Some(token.id), token.parent_id]
            .into_iter()
            .flatten()
            .map(|id| self.slot(id))
            .chain([&self.everything])
            .all(|changed| changed.load(SeqCst) <= stamp.0)
    }

    /// Like `still_decides`, and the last use, which decides nothing, is unchanged too.
    pub(in crate::store) fn is_unchanged(&self, stamp: Stamp, lineage: &Lineage) -> bool {
        self.last_uses.load(SeqCst) <= stamp.0 && self.still_decides(stamp, lineage)
    }

    fn slot(&self, id: TokenId) -> &AtomicU64 {
        &self.tokens[usize::from(id.id().random_bits())]
    }
}

/// The parts of credentials that a transaction changed.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Invalidations {
    everything: bool,
    last_uses: bool,
    tokens: Vec<TokenId>,
    /// 0: none was appended.
    last_audit_row: i64,
}

impl Invalidations {
    const fn is_empty(&self) -> bool {
        !self.everything && !self.last_uses && self.tokens.is_empty()
    }

    /// Whether the changes may affect what a credential decides.
    pub(in crate::store) fn concern(&self, lineage: &Lineage) -> bool {
        let token = &lineage.token;
        let changed = |id: &TokenId| *id == token.id || Some(*id) == token.parent_id;
        self.everything || self.tokens.iter().any(changed)
    }

    /// Adds the changes of another job in the same transaction.
    pub(in crate::store) fn add(&mut self, more: Self) {
        self.everything |= more.everything;
        self.last_uses |= more.last_uses;
        self.tokens.extend(more.tokens);
        self.last_audit_row = self.last_audit_row.max(more.last_audit_row);
    }
}

/// Records the changes of a transaction.
#[derive(Debug, Default)]
pub(in crate::store) struct Notes(RefCell<Invalidations>);

impl Notes {
    /// Anything may have changed.
    pub(in crate::store) fn everything(&self) {
        self.0.borrow_mut().everything = true;
    }

    /// An audit row was appended.
    pub(in crate::store) fn audit_row(&self, sequence: i64) {
        self.0.borrow_mut().last_audit_row = sequence;
    }

    /// Last uses changed.
    pub(in crate::store) fn last_uses(&self) {
        self.0.borrow_mut().last_uses = true;
    }

    /// One token's row changed.
    pub(in crate::store) fn token(&self, id: TokenId) {
        self.0.borrow_mut().tokens.push(id);
    }

    /// Whether the changes so far may affect what a credential decides.
    pub(in crate::store) fn concern(&self, lineage: &Lineage) -> bool {
        self.0.borrow().concern(lineage)
    }

    pub(in crate::store) fn into_invalidations(self) -> Invalidations {
        self.0.into_inner()
    }
}
