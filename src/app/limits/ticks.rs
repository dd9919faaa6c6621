//! Monotonic time for rate limits, derived from the wall clock.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// Monotonic time in microseconds, counted from the first use of its [`Ticks`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    pub(super) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How many whole `step`s have passed.
    pub(super) fn count(self, step: Duration) -> u64 {
        self.0 / micros(step).max(1)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How late a caller may come with the time that it read. A time further back means that the clock was set back.
const MAX_LAG: Duration = Duration::from_secs(5);

/// Turns wall-clock times into ticks by adding up the steps forward. If the clock is set back by an hour, a delay
/// neither lasts an hour longer nor ends early.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    last: Option<Timestamp>,
    tick: Tick,
}

impl Ticks {
    pub(super) fn at(&mut self, now: Timestamp) -> Tick {
        let last = *self.last.get_or_insert(now);
        if now > last {
            self.tick = self.tick.plus(now.since(last));
        }
        // Following every small step back would count the steps forward between late callers twice, and time would
        // run fast.
        if now > last || last.since(now) > MAX_LAG {
            self.last = Some(now);
        }
        self.tick
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn time_goes_on_after_the_clock_is_set_back() {
        let mut ticks = Ticks::default();
        let start = ticks.at(at(1_000_000));
        assert_eq!(ticks.at(at(1_000_000 - 86_400)), start);
        let later = ticks.at(at(1_000_000 - 86_400 + 10));
        assert_eq!(later.since(start), Duration::from_secs(10));
    }

    #[test]
    fn subtraction_stops_at_the_start() {
        let five = Tick::default().plus(Duration::from_secs(5));
        let three = five.minus(Duration::from_secs(2));
        assert_eq!(five.since(three), Duration::from_secs(2));
        assert_eq!(five.minus(Duration::from_secs(6)), Tick::default());
    }

    #[test]
    fn only_a_step_back_beyond_the_tolerance_counts_as_a_set_clock() {
        for (late, passed) in [(MAX_LAG, 1), (MAX_LAG + Duration::from_micros(1), 6)] {
            let mut ticks = Ticks::default();
            let start = ticks.at(at(100));
            ticks.at(at(100).minus(late));
            let secs = ticks.at(at(101)).since(start).as_secs();
            assert_eq!(secs, passed, "{late:?}");
        }
    }

    #[test]
    fn late_callers_do_not_speed_up_time() {
        let mut ticks = Ticks::default();
        let start = ticks.at(at(100));
        for _ in 0..1_000 {
            ticks.at(at(98));
            ticks.at(at(101));
        }
        assert_eq!(ticks.at(at(101)).since(start), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn time_never_goes_back(times in prop::collection::vec(any::<i64>(), 1..50)) {
            let mut ticks = Ticks::default();
            let mut last = Tick::default();
            for time in times {
                let tick = ticks.at(Timestamp::from_micros(time));
                prop_assert!(tick >= last);
                last = tick;
            }
        }
    }
}
