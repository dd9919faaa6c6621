//! How often a token may be used: each token has a bucket of its own, in memory of a bounded size.
//!
//! Only verifications count, and only those that would be answered by "valid": a token that is not valid is
//! told so however often it is asked about, and one that is used too often is never said to be invalid. What
//! a token does on Hallpass itself is not counted, or a service that verifies would be stopped by its own
//! diligence.
//!
//! It is one process's, and a restart forgets it. Where more tokens are in use than there is room for, those
//! that find none are not counted: the limit must not refuse a token for what others do.

use std::{collections::HashMap, num::NonZero, time::Duration};

use crate::domain::{id::TokenId, time::Timestamp};

use super::{
    App, Error,
    authenticate::whole_seconds,
    pace::Pace,
    shards::{ROOM, Shards},
    ticks::{Tick, Ticks},
};

/// A full shard is gone through for buckets to drop at most once in so long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The buckets.
#[derive(Debug)]
pub(super) struct TokenRate {
    /// `None`: there is no limit.
    pace: Option<Pace>,
    shards: Shards<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    ticks: Ticks,
    /// When each token's bucket is full again. One that is full is like one that is not there.
    full_at: HashMap<TokenId, Tick>,
    next_sweep: Tick,
}

impl TokenRate {
    /// So many requests at once, and as many each minute; `None`: as many as come.
    pub(super) fn new(per_minute: Option<NonZero<u32>>) -> Self {
        // Rounded up: never more than that many.
        let regain = |number: NonZero<u32>| {
            Duration::from_micros(60_000_000_u64.div_ceil(u64::from(number.get())))
        };
        Self {
            pace: per_minute.map(|number| Pace::new(number.get(), regain(number))),
            shards: Shards::default(),
        }
    }

    /// Counts a request of the token, or says how long it has to wait. One that has to wait is not counted.
    fn admit(&self, id: TokenId, now: Timestamp) -> Result<(), Duration> {
        let Some(pace) = self.pace else {
            return Ok(());
        };
        let mut shard = self.shards.of(id);
        let now = shard.ticks.at(now);
        let Some(full_at) = shard.bucket(id, now) else {
            return Ok(());
        };
        let wait = pace.wait(*full_at, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        pace.charge(full_at, now);
        Ok(())
    }
}

impl Shard {
    fn bucket(&mut self, id: TokenId, now: Tick) -> Option<&mut Tick> {
        let is_full = self.full_at.len() >= ROOM && !self.full_at.contains_key(&id);
        if is_full && now >= self.next_sweep {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.next_sweep = now.plus(SWEEP_EVERY);
        }
        if is_full && self.full_at.len() >= ROOM {
            return None;
        }
        Some(self.full_at.entry(id).or_default())
    }
}

impl App {
    /// Counts a request that the valid token `id` was shown with.
    ///
    /// # Errors
    /// [`Error::RateLimited`]: it is used too often.
    pub(super) fn admit_request(&self, id: TokenId, now: Timestamp) -> Result<(), Error> {
        let admitted = self.0.token_rate.admit(id, now);
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
    fn each_token_has_its_number_at_once_and_as_many_a_minute() {
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
    fn a_number_that_does_not_divide_a_minute_is_never_exceeded() {
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
    fn a_clock_set_back_neither_stops_a_token_nor_frees_it() {
        let (rate, id) = (rate(1), id());
        assert_eq!(rate.admit(id, NOW), Ok(()));
        let back = NOW.minus(Duration::from_hours(24));
        assert_eq!(rate.admit(id, back), Err(Duration::from_mins(1)));
        assert_eq!(rate.admit(id, back.plus(SECOND * 59)), Err(SECOND));
        assert_eq!(rate.admit(id, back.plus(SECOND * 60)), Ok(()));
    }

    #[test]
    fn the_room_is_never_outgrown_and_nobody_is_refused_for_others() {
        let rate = rate(1);
        for _ in 0..64 * ROOM * 2 {
            assert_eq!(rate.admit(id(), NOW), Ok(()));
        }
        let kept = |rate: &TokenRate| -> Vec<usize> {
            rate.shards
                .iter()
                .map(|shard| shard.full_at.len())
                .collect()
        };
        assert!(kept(&rate).iter().all(|kept| *kept == ROOM));
        let later = NOW.plus(Duration::from_mins(1));
        for _ in 0..64_000 {
            assert_eq!(rate.admit(id(), later), Ok(()));
        }
        assert!(
            kept(&rate).iter().all(|kept| *kept < ROOM),
            "what is full again goes"
        );
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let (rate, id) = (TokenRate::new(None), id());
        assert!((0..1_000).all(|_| rate.admit(id, NOW).is_ok()));
        assert!(rate.shards.iter().all(|shard| shard.full_at.is_empty()));
    }
}
