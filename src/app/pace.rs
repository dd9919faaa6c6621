//! A token bucket: so many at once, then one each time that some regain. It is kept as the time at which it
//! is full again, which is one number and needs no refilling.
//!
//! The `governor` crate keeps buckets in the same way, but has nothing to take a charge back with, as a sign-in
//! with the right password needs; its keyed stores grow with their keys, and its clock is asked instead of told.
//! A store and a clock of our own for it would be longer than this.

use std::time::Duration;

use super::ticks::Tick;

/// How fast something may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    burst: u32,
    regain: Duration,
}

impl Pace {
    /// `burst` at once, then one each `regain`.
    pub(super) const fn new(burst: u32, regain: Duration) -> Self {
        Self { burst, regain }
    }

    /// How long until one more is within the pace, for a bucket that is full at `full_at`.
    pub(super) fn wait(self, full_at: Tick, now: Tick) -> Duration {
        let room = self.regain * self.burst.saturating_sub(1);
        full_at.since(now).saturating_sub(room)
    }

    /// Takes one out of the bucket.
    pub(super) fn charge(self, full_at: &mut Tick, now: Tick) {
        *full_at = now.max(*full_at).plus(self.regain);
    }

    /// Puts one back, or what of it has not been regained yet.
    pub(super) fn refund(self, full_at: &mut Tick, now: Tick) {
        *full_at = full_at.minus(self.regain).max(now.min(*full_at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_at_once_then_one_each_regain() {
        let pace = Pace::new(3, Duration::from_secs(20));
        let mut full_at = Tick::default();
        for _ in 0..3 {
            assert!(pace.wait(full_at, at(50)).is_zero());
            pace.charge(&mut full_at, at(50));
        }
        assert_eq!(pace.wait(full_at, at(50)), Duration::from_secs(20));
        assert_eq!(pace.wait(full_at, at(69)), Duration::from_secs(1));
        assert!(pace.wait(full_at, at(70)).is_zero());
        pace.refund(&mut full_at, at(50));
        assert!(pace.wait(full_at, at(50)).is_zero());
    }

    #[test]
    fn refunds_never_leave_more_than_a_burst() {
        let pace = Pace::new(3, Duration::from_secs(6));
        let mut full_at = Tick::default();
        for _ in 0..9 {
            pace.refund(&mut full_at, at(7));
        }
        for _ in 0..3 {
            assert!(pace.wait(full_at, at(7)).is_zero());
            pace.charge(&mut full_at, at(7));
        }
        assert!(!pace.wait(full_at, at(7)).is_zero());
    }
}
