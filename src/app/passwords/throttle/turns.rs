//! Turns at the hasher: an address has a few at a time, so that one cannot fill its queue.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{self, Instant},
};

use super::{Throttled, keys::Key};

/// More than the attempts that are under way at a time; addresses that share one wait for each other.
const LANES: usize = 1_024;

#[derive(Debug)]
struct Lane {
    turns: Semaphore,
    /// For those at their turn and those waiting for one.
    places: Semaphore,
}

#[derive(Debug)]
pub(super) struct Turns(Box<[Lane]>);

/// Held while an attempt has its turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _lane: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
    waited: Duration,
}

impl Turn<'_> {
    /// How long it had to be waited for: nothing where it was free.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }
}

impl Turns {
    pub(super) fn new(turns: usize, waiting: usize) -> Self {
        let lane = || Lane {
            turns: Semaphore::new(turns),
            places: Semaphore::new(turns + waiting),
        };
        Self((0..LANES).map(|_| lane()).collect())
    }

    /// Waits `wait` at most; refused at once where too many wait already.
    pub(super) async fn take(&self, address: Key, wait: Duration) -> Result<Turn<'_>, Throttled> {
        let lane = &self.0[address.index(LANES)];
        let refused = Throttled {
            retry_after: Duration::from_secs(1),
        };
        let place = lane.places.try_acquire().map_err(|_| refused)?;
        let (turn, waited) = if let Ok(turn) = lane.turns.try_acquire() {
            (turn, Duration::ZERO)
        } else {
            let arrived = Instant::now();
            let turn = time::timeout(wait, lane.turns.acquire()).await;
            let turn = turn
                .map_err(|_| refused)?
                .expect("the semaphore is never closed");
            (turn, arrived.elapsed())
        };
        Ok(Turn {
            _lane: turn,
            _place: place,
            waited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Keyer, *};

    #[tokio::test(start_paused = true)]
    async fn a_third_attempt_waits_two_seconds_at_most() {
        let address = Keyer::generate().keys("", [192, 0, 2, 1].into()).address;
        let turns = Turns::new(2, 1);
        let wait = Duration::from_secs(2);
        let first = turns.take(address, wait).await.unwrap();
        let _second = turns.take(address, wait).await.unwrap();
        let before = Instant::now();
        assert!(turns.take(address, wait).await.is_err());
        assert_eq!(before.elapsed(), wait);
        assert_eq!(first.waited(), Duration::ZERO);

        let (third, fourth, ()) = tokio::join!(
            turns.take(address, wait),
            async {
                let before = Instant::now();
                let refused = turns.take(address, wait).await.is_err();
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
        assert!(turns.take(address, wait).await.is_ok());
    }
}
