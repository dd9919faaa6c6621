//! A token bucket: a burst at once, then one per interval. Its state is the time at which it is full again, a single
//! number that needs no refilling.
//!
//! The `governor` crate works the same way but cannot refund a charge, which a sign-in with the right password needs;
//! its keyed stores grow without bound, and it reads its clock instead of being told the time. A store and a clock
//! of our own for it would be longer than this module.

use std::time::Duration;

use super::{keys::Key, ticks::Tick};

/// Capacity and refill interval of a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    burst: u32,
    regain: Duration,
}

impl TokenBucket {
    /// `burst` at once, then one per `regain`.
    pub(super) const fn new(burst: u32, regain: Duration) -> Self {
        Self { burst, regain }
    }

    /// How long to wait until the bucket, which is full again at `full_at`, has one more.
    pub(super) fn wait(self, full_at: Tick, now: Tick) -> Duration {
        let burst = self.regain * self.burst.saturating_sub(1);
        full_at.since(now).saturating_sub(burst)
    }

    /// Takes one out of the bucket.
    pub(super) fn charge(self, full_at: &mut Tick, now: Tick) {
        *full_at = now.max(*full_at).plus(self.regain);
    }

    /// Puts one back, or as much of it as was not refilled meanwhile.
    pub(super) fn refund(self, full_at: &mut Tick, now: Tick) {
        *full_at = full_at.minus(self.regain).max(now.min(*full_at));
    }
}

/// A fixed number of token buckets. Keys that fall on the same bucket share its limit.
#[derive(Debug)]
pub(super) struct KeyedBuckets {
    bucket: TokenBucket,
    /// When each bucket is full again.
    full_at: Box<[Tick]>,
}

impl KeyedBuckets {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn allows_a_burst_and_then_one_per_interval() {
        let bucket = TokenBucket::new(3, Duration::from_secs(20));
        let mut full_at = Tick::default();
        for _ in 0..3 {
            assert!(bucket.wait(full_at, at(50)).is_zero());
            bucket.charge(&mut full_at, at(50));
        }
        assert_eq!(bucket.wait(full_at, at(50)), Duration::from_secs(20));
        assert_eq!(bucket.wait(full_at, at(69)), Duration::from_secs(1));
        assert!(bucket.wait(full_at, at(70)).is_zero());
        bucket.refund(&mut full_at, at(50));
        assert!(bucket.wait(full_at, at(50)).is_zero());
    }

    #[test]
    fn refunds_never_exceed_the_burst() {
        let bucket = TokenBucket::new(3, Duration::from_secs(6));
        let mut full_at = Tick::default();
        for _ in 0..9 {
            bucket.refund(&mut full_at, at(7));
        }
        for _ in 0..3 {
            assert!(bucket.wait(full_at, at(7)).is_zero());
            bucket.charge(&mut full_at, at(7));
        }
        assert!(!bucket.wait(full_at, at(7)).is_zero());
    }
}
