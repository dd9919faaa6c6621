//! Limits on how often something may be tried: password guesses (`throttle`) and verifications of a token
//! (`token_rate`). They know no users, no store and no protocol: keys come in as text, addresses or IDs.

mod concurrency;
mod failures;
mod guess_queue;
mod keys;
mod known_networks;
pub(super) mod shards;
mod throttle;
mod ticks;
mod token_bucket;
mod token_rate;

use std::time::Duration;

pub use failures::Backoff;
pub use guess_queue::QueueLimits;
pub use throttle::{Attempt, Throttle, ThrottleLimits};
pub(super) use token_rate::TokenRate;

/// Too many attempts. This is the same whether the user exists or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-in attempts")]
pub struct Throttled {
    /// How long to wait before trying again; never zero.
    pub retry_after: Duration,
}

/// Rounds up, so that a client that waits this long is admitted.
pub(super) fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delay_is_rounded_up_to_whole_seconds() {
        let whole = |millis| whole_seconds(Duration::from_millis(millis)).as_secs();
        assert_eq!([0, 1, 999, 1_000, 1_001].map(whole), [0, 1, 1, 1, 2]);
    }
}
