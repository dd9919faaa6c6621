//! Limits how many attempts of an address are checked at a time, so that one address cannot fill the hasher's queue.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{self, Instant},
};

use super::{Throttled, keys::Key};

/// Number of lanes, more than there are attempts under way at a time. Addresses that share a lane wait for each other.
const LANES: usize = 1_024;

#[derive(Debug)]
struct Lane {
    checked: Semaphore,
    /// Permits for the attempts that are checked and for those that wait.
    all: Semaphore,
}

#[derive(Debug)]
pub(super) struct ConcurrencyLimit(Box<[Lane]>);

/// Held while an attempt is queued and checked.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    _checked: SemaphorePermit<'a>,
    _all: SemaphorePermit<'a>,
    waited: Duration,
}

impl Permit<'_> {
    /// How long the attempt waited for its permit; zero if one was free.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }
}

impl ConcurrencyLimit {
    pub(super) fn new(checked: usize, waiting: usize) -> Self {
        let lane = || Lane {
            checked: Semaphore::new(checked),
            all: Semaphore::new(checked + waiting),
        };
        Self((0..LANES).map(|_| lane()).collect())
    }

    /// Waits at most `wait` for a permit; refuses at once if too many attempts wait already.
    pub(super) async fn take(&self, address: Key, wait: Duration) -> Result<Permit<'_>, Throttled> {
        let lane = &self.0[address.index(LANES)];
        let refused = Throttled {
            retry_after: Duration::from_secs(1),
        };
        let all = lane.all.try_acquire().map_err(|_| refused)?;
        let (checked, waited) = if let Ok(checked) = lane.checked.try_acquire() {
            (checked, Duration::ZERO)
        } else {
            let arrived = Instant::now();
            let checked = time::timeout(wait, lane.checked.acquire()).await;
            let checked = checked
                .map_err(|_| refused)?
                .expect("the semaphore is never closed");
            (checked, arrived.elapsed())
        };
        Ok(Permit {
            _checked: checked,
            _all: all,
            waited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Keyer, *};

    #[tokio::test(start_paused = true)]
    async fn third_attempt_waits_at_most_two_seconds() {
        let address = Keyer::generate().keys("", [192, 0, 2, 1].into()).address;
        let limit = ConcurrencyLimit::new(2, 1);
        let wait = Duration::from_secs(2);
        let first = limit.take(address, wait).await.unwrap();
        let _second = limit.take(address, wait).await.unwrap();
        let before = Instant::now();
        assert!(limit.take(address, wait).await.is_err());
        assert_eq!(before.elapsed(), wait);
        assert_eq!(first.waited(), Duration::ZERO);

        let (third, fourth, ()) = tokio::join!(
            limit.take(address, wait),
            async {
                let before = Instant::now();
                let refused = limit.take(address, wait).await.is_err();
                refused && before.elapsed().is_zero()
            },
            async {
                time::sleep(wait / 2).await;
                drop(first);
            },
        );
        assert!(fourth, "the place in the queue was taken");
        assert_eq!(third.as_ref().unwrap().waited(), wait / 2);
        drop(third);
        assert!(limit.take(address, wait).await.is_ok());
    }
}
