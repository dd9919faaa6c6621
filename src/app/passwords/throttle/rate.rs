//! Failures a minute per key, with a burst.

use std::time::Duration;

use super::keys::Key;
use crate::app::{pace::Pace, ticks::Tick};

/// A fixed number of buckets, each counting all the keys that fall on it.
#[derive(Debug)]
pub(super) struct Rate {
    pace: Pace,
    /// When each bucket will have regained all its failures.
    full_at: Box<[Tick]>,
}

impl Rate {
    /// `burst` at once, then one each `regain`.
    pub(super) fn new(burst: u32, regain: Duration, buckets: usize) -> Self {
        Self {
            pace: Pace::new(burst, regain),
            full_at: vec![Tick::default(); buckets.max(1)].into_boxed_slice(),
        }
    }

    fn full_at(&mut self, key: Key) -> &mut Tick {
        &mut self.full_at[key.index(self.full_at.len())]
    }

    /// How long until one more failure is within the rate.
    pub(super) fn wait(&mut self, key: Key, now: Tick) -> Duration {
        let pace = self.pace;
        pace.wait(*self.full_at(key), now)
    }

    pub(super) fn charge(&mut self, key: Key, now: Tick) {
        let pace = self.pace;
        pace.charge(self.full_at(key), now);
    }

    /// Takes one failure back, or what of it has not been regained yet.
    pub(super) fn refund(&mut self, key: Key, now: Tick) {
        let pace = self.pace;
        pace.refund(self.full_at(key), now);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Keyer, *};

    fn at(seconds: u64) -> Tick {
        Tick::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn twenty_at_once_then_ten_a_minute() {
        let key = Keyer::generate().keys("", [192, 0, 2, 1].into()).address;
        let mut rate = Rate::new(20, Duration::from_secs(6), 16);
        for _ in 0..20 {
            assert!(rate.wait(key, at(50)).is_zero());
            rate.charge(key, at(50));
        }
        assert_eq!(rate.wait(key, at(50)), Duration::from_secs(6));
        assert_eq!(rate.wait(key, at(54)), Duration::from_secs(2));
        let admitted = (50..110).filter(|second| {
            let free = rate.wait(key, at(*second)).is_zero();
            if free {
                rate.charge(key, at(*second));
            }
            free
        });
        assert_eq!(admitted.count(), 9, "at 56, 62, … 104");
    }

    #[test]
    fn refunds_never_leave_more_than_a_burst() {
        let key = Keyer::generate().keys("", [192, 0, 2, 1].into()).address;
        let mut rate = Rate::new(3, Duration::from_secs(6), 1);
        for _ in 0..9 {
            rate.refund(key, at(7));
        }
        for _ in 0..3 {
            assert!(rate.wait(key, at(7)).is_zero());
            rate.charge(key, at(7));
        }
        assert!(!rate.wait(key, at(7)).is_zero());
        rate.refund(key, at(7));
        assert!(rate.wait(key, at(7)).is_zero());
    }
}
