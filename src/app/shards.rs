//! What is kept in memory for each of many tokens: spread over locks, so that requests about different tokens
//! seldom wait for each other, and bounded, so that no number of tokens fills the memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::id::TokenId;

const SHARDS: u16 = 64;

/// How many tokens a shard has room for, 229,376 all in all: 7/8 of a power of two, which is what a hash map
/// holds before it doubles its memory.
pub(super) const ROOM: usize = 3_584;

/// The shards, each behind a lock of its own. That one keeps to its [`ROOM`] is its owner's care.
#[derive(Debug)]
pub(super) struct Shards<S>(Box<[Mutex<S>]>);

impl<S: Default> Default for Shards<S> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl<S> Shards<S> {
    /// The shard of a token; they fill evenly.
    pub(super) fn of(&self, id: TokenId) -> MutexGuard<'_, S> {
        lock(&self.0[usize::from(id.id().random_bits() % SHARDS)])
    }

    /// All of them, one after another.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, S>> {
        self.0.iter().map(lock)
    }
}

/// Nothing in there panics half way.
fn lock<S>(shard: &Mutex<S>) -> MutexGuard<'_, S> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn tokens_are_spread_evenly_and_each_is_found_again() {
        let shards = Shards::<Vec<TokenId>>::default();
        for _ in 0..64_000 {
            let id = TokenId::generate(Timestamp::from_micros(0));
            shards.of(id).push(id);
            assert_eq!(shards.of(id).last(), Some(&id));
        }
        assert_eq!(shards.iter().count(), usize::from(SHARDS));
        // Seven standard deviations.
        assert!(
            shards
                .iter()
                .all(|shard| (780..1_220).contains(&shard.len()))
        );
    }
}
