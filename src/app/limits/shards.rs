//! Sharded per-token state: it is spread over many locks, so that requests about different tokens rarely wait for
//! each other, and it is bounded, so that no number of tokens fills the memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::id::TokenId;

const SHARDS: u16 = 64;

/// Maximum number of tokens per shard, 229,376 in all. It is 7/8 of a power of two, which is what a hash map holds
/// before it doubles its memory.
pub(in crate::app) const MAX_PER_SHARD: usize = 3_584;

/// The shards, each behind its own lock. The code that uses a shard must keep it within [`MAX_PER_SHARD`].
#[derive(Debug)]
pub(in crate::app) struct Shards<S>(Box<[Mutex<S>]>);

impl<S: Default> Default for Shards<S> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl<S> Shards<S> {
    /// The shard of a token. IDs spread evenly over the shards.
    pub(in crate::app) fn of(&self, id: TokenId) -> MutexGuard<'_, S> {
        lock(&self.0[usize::from(id.id().random_bits() % SHARDS)])
    }

    /// Locks and returns one shard after another.
    pub(in crate::app) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, S>> {
        self.0.iter().map(lock)
    }
}

/// Ignores poisoning: nothing panics halfway through a change of a shard.
fn lock<S>(shard: &Mutex<S>) -> MutexGuard<'_, S> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn tokens_spread_evenly_and_keep_their_shard() {
        let shards = Shards::<Vec<TokenId>>::default();
        for _ in 0..64_000 {
            let id = TokenId::generate(Timestamp::from_micros(0));
            shards.of(id).push(id);
            assert_eq!(shards.of(id).last(), Some(&id));
        }
        assert_eq!(shards.iter().count(), usize::from(SHARDS));
        // 1,000 in each on average; the bounds are seven standard deviations away.
        assert!(
            shards
                .iter()
                .all(|shard| (780..1_220).contains(&shard.len()))
        );
    }
}
