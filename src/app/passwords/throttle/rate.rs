//! Rate limit per key: one token bucket for each.

use std::time::Duration;

use super::keys::Key;
use crate::app::{ticks::Tick, token_bucket::TokenBucket};

/// A fixed number of token buckets. Keys that fall on the same bucket share its limit.
#[derive(Debug)]
pub(super) struct Rate {
    bucket: TokenBucket,
    /// When each bucket is full again.
    full_at: Box<[Tick]>,
}

impl Rate {
    /// `burst` at once, then one per `regain`.
    pub(super) fn new(burst: u32, regain: Duration, buckets: usize) -> Self {
        Self {
            bucket: TokenBucket::new(burst, regain),
            full_at: vec![Tick::default(); buckets.max(1)].into_boxed_slice(),
        }
    }

    fn full_at(&mut self, key: Key) -> &mut Tick {
        &mut self.full_at[key.index(self.full_at.len())]
    }

    /// How long to wait until one more attempt is allowed.
    pub(super) fn wait(&mut self, key: Key, now: Tick) -> Duration {
        let bucket = self.bucket;
        bucket.wait(*self.full_at(key), now)
    }

    pub(super) fn charge(&mut self, key: Key, now: Tick) {
        let bucket = self.bucket;
        bucket.charge(self.full_at(key), now);
    }

    /// Refunds one attempt, or as much of it as was not refilled meanwhile.
    pub(super) fn refund(&mut self, key: Key, now: Tick) {
        let bucket = self.bucket;
        bucket.refund(self.full_at(key), now);
    }
}
