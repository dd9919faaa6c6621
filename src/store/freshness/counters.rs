//! The counters that stamps are made of: one for all tokens, and many for those that change alone.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::{Changes, Stamp};
use crate::domain::id::TokenId;

/// So many counters for the tokens that change alone. Two tokens that share one are only read once more.
const COUNTERS: usize = 1 << 16;

/// The counters. They never come round: 64 bits.
#[derive(Debug)]
pub(in crate::store) struct Counters {
    all: AtomicU64,
    aside: AtomicU64,
    some: Box<[AtomicU64]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            all: AtomicU64::new(0),
            aside: AtomicU64::new(0),
            some: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Counters {
    /// Now, for the token `id`.
    pub(in crate::store) fn stamp(&self, id: TokenId) -> Stamp {
        Stamp {
            all: self.all.load(SeqCst),
            one: self.of(id).load(SeqCst),
            aside: self.aside.load(SeqCst),
        }
    }

    /// Makes what was read of the changed tokens stale. To be called after the commit and before anyone is
    /// told of it.
    pub(in crate::store) fn raise(&self, changes: &Changes) {
        if changes.everything {
            self.all.fetch_add(1, SeqCst);
        }
        if changes.aside {
            self.aside.fetch_add(1, SeqCst);
        }
        for id in &changes.tokens {
            self.of(*id).fetch_add(1, SeqCst);
        }
    }

    fn of(&self, id: TokenId) -> &AtomicU64 {
        &self.some[usize::from(id.id().random_bits())]
    }
}
