//! Rate limit per token: each token has its own bucket, in bounded memory.
//!
//! Only verifications count, and only those whose result would be "valid". An invalid token is reported as invalid
//! however often it is verified, and a token over its limit is never reported as invalid. A token's own calls to
//! Hallpass do not count, because a busy verifying service would otherwise lock itself out.
//!
//! The buckets belong to one process and do not survive a restart. If more tokens are in use than fit,
//! the others are not limited: a token must not be refused for what others do.

use std::{collections::HashMap, num::NonZero, time::Duration};

use crate::domain::{id::TokenId, time::Timestamp};

use super::{
    shards::{MAX_PER_SHARD, Shards},
    ticks::{Tick, Ticks},
    token_bucket::TokenBucket,
    whole_seconds,
};
use crate::app::{App, Error};

/// Minimum time between two prunings of a full shard.
const PRUNE_EVERY: Duration = Duration::from_secs(1);

/// The buckets of all tokens.
#[derive(Debug)]
pub(in crate::app) struct TokenRate {
    /// `None`: no limit.
    bucket: Option<TokenBucket>,
    shards: Shards<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    ticks: Ticks,
    /// When each token's bucket is full again. A full bucket is the same as none.
    full_at: HashMap<TokenId, Tick>,
    next_prune: Tick,
}

impl TokenRate {
    /// The limit per minute, which is also the burst; `None`: no limit.
    pub(in crate::app) fn new(per_minute: Option<NonZero<u32>>) -> Self {
        // Rounded up, so that the limit is never exceeded.
        let regain = |number: NonZero<u32>| {
            Duration::from_micros(60_000_000_u64.div_ceil(u64::from(number.get())))
        };
        Self {
            bucket: per_minute.map(|number| TokenBucket::new(number.get(), regain(number))),
            shards: Shards::default(),
        }
    }

    /// Counts a request with the token, or returns how long it must wait. A refused request does not count.
    fn admit(&self, id: TokenId, now: Timestamp) -> Result<(), Duration> {
        let Some(bucket) = self.bucket else {
            return Ok(());
        };
        let mut shard = self.shards.of(id);
        let now = shard.ticks.at(now);
        let Some(full_at) = shard.bucket(id, now) else {
            return Ok(());
        };
        let wait = bucket.wait(*full_at, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        bucket.charge(full_at, now);
        Ok(())
    }
}

impl Shard {
    fn bucket(&mut self, id: TokenId, now: Tick) -> Option<&mut Tick> {
        let is_full = self.full_at.len() >= MAX_PER_SHARD && !self.full_at.contains_key(&id);
        if is_full && now >= self.next_prune {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.next_prune = now.plus(PRUNE_EVERY);
        }
        if is_full && self.full_at.len() >= MAX_PER_SHARD {
            return None;
        }
        Some(self.full_at.entry(id).or_default())
    }
}

impl App {
    /// Counts a verification of the valid token `id`.
    ///
    /// # Errors
    /// [`Error::RateLimited`]: the token is over its limit.
    pub(in crate::app) fn admit_request(&self, id: TokenId, now: Timestamp) -> Result<(), Error> {
        let admitted = self.0.shared.token_rate.admit(id, now);
        admitted.map_err(|wait| Error::RateLimited {
            retry_after: whole_seconds(wait),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn rate(per_minute: u32) -> TokenRate {
        TokenRate::new(NonZero::new(per_minute))
    }

    fn id() -> TokenId {
        TokenId::generate(NOW)
    }

    #[test]
    fn each_token_has_its_own_burst_and_rate() {
        let (rate, one, other) = (rate(30), id(), id());
        for _ in 0..30 {
            assert_eq!(rate.admit(one, NOW), Ok(()));
        }
        assert_eq!(rate.admit(one, NOW), Err(SECOND * 2));
        assert_eq!(rate.admit(other, NOW), Ok(()));
        let almost = Duration::from_micros(1_999_999);
        let tick = Duration::from_micros(1);
        assert_eq!(rate.admit(one, NOW.plus(almost)), Err(tick));
        assert_eq!(rate.admit(one, NOW.plus(SECOND * 2)), Ok(()));
        assert!(rate.admit(one, NOW.plus(SECOND * 2)).is_err());
        let later = NOW.plus(Duration::from_mins(2));
        let admitted = (0..100).filter(|_| rate.admit(one, later).is_ok());
        assert_eq!(admitted.count(), 30, "it does not add up");
    }

    #[test]
    fn limit_that_does_not_divide_a_minute_is_never_exceeded() {
        for number in [1, 7, 59_999, 60_000] {
            let (rate, id) = (rate(number), id());
            let admitted = (0..number + 9).filter(|_| rate.admit(id, NOW).is_ok());
            assert_eq!(admitted.count(), usize::try_from(number).unwrap());
            let minute = Duration::from_mins(1);
            let admitted = (1..=200_000_u32)
                .map(|step| NOW.plus(minute / 200_000 * step))
                .filter(|at| rate.admit(id, *at).is_ok());
            assert!(admitted.count() <= usize::try_from(number).unwrap());
        }
    }

    #[test]
    fn clock_set_back_neither_blocks_nor_frees_a_token() {
        let (rate, id) = (rate(1), id());
        assert_eq!(rate.admit(id, NOW), Ok(()));
        let back = NOW.minus(Duration::from_hours(24));
        assert_eq!(rate.admit(id, back), Err(Duration::from_mins(1)));
        assert_eq!(rate.admit(id, back.plus(SECOND * 59)), Err(SECOND));
        assert_eq!(rate.admit(id, back.plus(SECOND * 60)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_no_token_is_refused_for_others() {
        let rate = rate(1);
        for _ in 0..64 * MAX_PER_SHARD * 2 {
            assert_eq!(rate.admit(id(), NOW), Ok(()));
        }
        let kept = |rate: &TokenRate| -> Vec<usize> {
            rate.shards
                .iter()
                .map(|shard| shard.full_at.len())
                .collect()
        };
        assert!(kept(&rate).iter().all(|kept| *kept == MAX_PER_SHARD));
        let later = NOW.plus(Duration::from_mins(1));
        for _ in 0..64_000 {
            assert_eq!(rate.admit(id(), later), Ok(()));
        }
        assert!(
            kept(&rate).iter().all(|kept| *kept < MAX_PER_SHARD),
            "what is full again goes"
        );
    }

    #[test]
    fn without_a_limit_no_buckets_are_kept() {
        let (rate, id) = (TokenRate::new(None), id());
        assert!((0..1_000).all(|_| rate.admit(id, NOW).is_ok()));
        assert!(rate.shards.iter().all(|shard| shard.full_at.is_empty()));
    }
}
