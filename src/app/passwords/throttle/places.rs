//! From where an account was signed in to of late.

use std::time::Duration;

use super::keys::Key;
use crate::app::ticks::Tick;

/// Keys that share a set push one another out, the oldest first, which throttles more, never less:
/// a key counts as known only by its own tag.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// 0 where it is nobody's.
    tag: u64,
    until: Tick,
}

/// A fixed number of (account, place) keys, each for a fixed time.
#[derive(Debug)]
pub(super) struct Places {
    kept_for: Duration,
    sets: Box<[[Place; WAYS]]>,
}

impl Places {
    pub(super) fn new(kept_for: Duration, buckets: usize) -> Self {
        let sets = buckets.div_ceil(WAYS).max(1);
        Self {
            kept_for,
            sets: vec![[Place::default(); WAYS]; sets].into_boxed_slice(),
        }
    }

    fn set(&mut self, key: Key) -> &mut [Place; WAYS] {
        &mut self.sets[key.index(self.sets.len())]
    }

    pub(super) fn has(&mut self, key: Key, now: Tick) -> bool {
        let mut places = self.set(key).iter();
        places.any(|place| place.tag == key.tag() && now < place.until)
    }

    pub(super) fn remember(&mut self, key: Key, now: Tick) {
        let until = now.plus(self.kept_for);
        let set = self.set(key);
        let own = set.iter().position(|place| place.tag == key.tag());
        let oldest = (0..WAYS).min_by_key(|way| set[*way].until).unwrap_or(0);
        set[own.unwrap_or(oldest)] = Place {
            tag: key.tag(),
            until,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Keyer, *};

    #[test]
    fn a_place_is_known_for_its_time_and_never_by_collision() {
        let keyer = Keyer::generate();
        let key = |name: &str| keyer.keys(name, [192, 0, 2, 1].into()).place;
        let mut places = Places::new(Duration::from_hours(1), 4); // one set
        let start = Tick::default();
        places.remember(key("alice"), start);
        assert!(places.has(key("alice"), start));
        assert!((0..1_000).all(|n| !places.has(key(&n.to_string()), start)));
        assert!(!places.has(key("alice"), start.plus(Duration::from_hours(1))));
        for n in 0..4 {
            places.remember(key(&n.to_string()), start.plus(Duration::from_secs(n)));
        }
        assert!(
            !places.has(key("alice"), start),
            "the oldest was pushed out"
        );
        assert!((0..4).all(|n| places.has(key(&n.to_string()), start)));
    }
}
