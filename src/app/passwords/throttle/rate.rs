//! Attempts a minute per key, with a burst.

use std::time::Duration;

use super::keys::Key;
use crate::app::{pace::Pace, ticks::Tick};

/// A fixed number of buckets, each counting all the keys that fall on it.
#[derive(Debug)]
pub(super) struct Rate {
    pace: Pace,
    /// When each bucket will have regained all its attempts.
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

    /// How long until one more attempt is within the rate.
    pub(super) fn wait(&mut self, key: Key, now: Tick) -> Duration {
        let pace = self.pace;
        pace.wait(*self.full_at(key), now)
    }

    pub(super) fn charge(&mut self, key: Key, now: Tick) {
        let pace = self.pace;
        pace.charge(self.full_at(key), now);
    }

    /// Takes one attempt back, or what of it has not been regained yet.
    pub(super) fn refund(&mut self, key: Key, now: Tick) {
        let pace = self.pace;
        pace.refund(self.full_at(key), now);
    }
}
