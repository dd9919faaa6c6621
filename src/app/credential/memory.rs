//! Credentials in memory: what every token check needs, as it was read, for as long as the store vouches
//! that it is still so.
//!
//! It is kept once the right secret was shown, or its token was asked for, with the secret's hash and nothing
//! of its text. Whether the token is valid is judged anew at each use: time passes. Nothing is kept of what is
//! not there.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    domain::{id::TokenId, token::Token, token_text::TokenHash},
    store::{Stamp, tokens::Credential},
};

/// A credential has its place in one of so many sets, by its ID,
const SETS: usize = 1 << 14;
/// and so many places there: 65,536 in all.
const WAYS: usize = 4;
/// So many bytes of texts and lists go with a credential at most; what has more is not kept. A full memory
/// takes about 60 MiB where tokens are as usual, and never more than 180.
const MAX_VARIABLE_BYTES: usize = 2_048;

/// The credentials that are kept.
#[derive(Debug)]
pub(in crate::app) struct Memory {
    sets: Box<[Mutex<Set>]>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Set {
    kept: [Option<Known>; WAYS],
    /// The place that is given away next where none is free.
    next: usize,
}

/// A credential as it was read, and when that was.
#[derive(Clone, Debug)]
pub(in crate::app) struct Known {
    /// From before the read.
    pub(in crate::app) stamp: Stamp,
    pub(in crate::app) credential: Arc<Credential>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }
}

impl Memory {
    /// What was kept of the token, where `is_true` still and the secret is right.
    pub(super) fn find(
        &self,
        id: TokenId,
        hash: &TokenHash,
        is_true: impl Fn(Stamp, &Credential) -> bool,
    ) -> Option<Known> {
        let found = self.get(id, is_true);
        let found = found.filter(|known| known.credential.hash.matches(hash));
        let count = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        count.fetch_add(1, Relaxed);
        found
    }

    /// What was kept of the token, where `is_true` still.
    pub(super) fn get(
        &self,
        id: TokenId,
        is_true: impl Fn(Stamp, &Credential) -> bool,
    ) -> Option<Known> {
        let set = self.set(id);
        let kept = set.kept.iter().flatten().find(|kept| kept.is_of(id))?;
        is_true(kept.stamp, &kept.credential).then(|| kept.clone())
    }

    /// How many were found here, and how many were not.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Relaxed), self.misses.load(Relaxed))
    }

    /// Keeps a credential.
    pub(super) fn keep(&self, known: &Known) {
        if variable_bytes(&known.credential) > MAX_VARIABLE_BYTES {
            return;
        }
        let id = known.credential.lineage.token.id;
        let mut set = self.set(id);
        let own = set
            .kept
            .iter()
            .position(|kept| kept.as_ref().is_none_or(|kept| kept.is_of(id)));
        let place = own.unwrap_or_else(|| {
            set.next = (set.next + 1) % WAYS;
            set.next
        });
        set.kept[place] = Some(known.clone());
    }

    fn set(&self, id: TokenId) -> MutexGuard<'_, Set> {
        let set = usize::from(id.id().random_bits()) % SETS;
        // Nothing panics under the lock.
        self.sets[set]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_of(&self, id: TokenId) -> bool {
        self.credential.lineage.token.id == id
    }
}

/// How much memory is taken by what a client chose the size of.
fn variable_bytes(credential: &Credential) -> usize {
    // Its text, and what is around it in the set.
    let scope = |scope: &str| scope.len() + 48;
    let of = |token: &Token| {
        token.note.as_str().len()
            + token.scopes.iter().map(scope).sum::<usize>()
            + token.allowed_cidrs.iter().map(size_of_val).sum::<usize>()
    };
    let parent = credential.lineage.parent.as_ref();
    let parent = parent.and_then(|parent| parent.token.as_ref());
    let user = credential.user.as_ref();
    of(&credential.lineage.token)
        + parent.map_or(0, of)
        + user.map_or(0, |user| user.description.as_str().len())
}

#[cfg(test)]
mod tests;
