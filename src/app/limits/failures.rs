//! Counts failures in a row per key, and derives the delay from them.

use std::time::Duration;

use super::{keys::Key, ticks::Tick};

/// A delay that grows with each failure.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Number of failures without a delay.
    pub free: u32,
    /// The delay after the first failure beyond those; each further one doubles it.
    pub first: Duration,
    /// The longest delay; not zero. Once a delay is over, one failure is forgotten every `most`, so waiting for that
    /// gains no more attempts than going on.
    pub most: Duration,
}

impl Backoff {
    fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => {
                let doubled = 2_u32.saturating_pow(beyond - 1);
                self.first.saturating_mul(doubled).min(self.most)
            }
        }
    }

    /// How many of `failures` still count, the last of which was `since` ago. Failures that no longer lengthen the
    /// delay do not lengthen the time until all are forgotten either.
    fn remembered(&self, failures: u32, since: Duration) -> u32 {
        let longest = (self.free..self.free + 32).find(|count| self.delay(*count) == self.most);
        let quiet = since.saturating_sub(self.delay(failures)).as_micros();
        match quiet / self.most.as_micros().max(1) {
            0 => failures,
            forgotten => {
                let counted = failures.min(longest.unwrap_or(u32::MAX));
                counted.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
            }
        }
    }
}

/// The failures of one key and of the keys that joined it.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The tag of the key that has the bucket; 0 if it is free.
    tag: u64,
    last: Tick,
    failures: u32,
    /// Other keys are counted here, too, so a success must not clear it.
    joined: bool,
}

/// A counted failure, with what is needed to refund it.
#[derive(Clone, Copy, Debug)]
#[must_use = "an attempt keeps it, to be able to take it back"]
pub(super) struct Charge {
    key: Key,
    /// When it was counted; unique among the charges of a bucket.
    at: Tick,
    before: Bucket,
}

/// A fixed number of buckets; [`super`] describes how keys share them.
#[derive(Debug)]
pub(super) struct Failures {
    backoff: Backoff,
    buckets: Box<[Bucket]>,
}

impl Failures {
    pub(super) fn new(backoff: Backoff, buckets: usize) -> Self {
        Self {
            backoff,
            buckets: vec![Bucket::default(); buckets.max(1)].into_boxed_slice(),
        }
    }

    /// The bucket of `key`, which is reset if none of its failures counts any more.
    fn bucket(&mut self, key: Key, now: Tick) -> &mut Bucket {
        let bucket = &mut self.buckets[key.index(self.buckets.len())];
        if self
            .backoff
            .remembered(bucket.failures, now.since(bucket.last))
            == 0
        {
            *bucket = Bucket::default();
        }
        bucket
    }

    /// How long `key` must still wait.
    pub(super) fn wait(&mut self, key: Key, now: Tick) -> Duration {
        let backoff = self.backoff;
        let bucket = self.bucket(key, now);
        match backoff.delay(bucket.failures) {
            Duration::ZERO => Duration::ZERO,
            delay => bucket.last.plus(delay).since(now),
        }
    }

    /// Counts a failure, even if another key has the bucket.
    pub(super) fn charge(&mut self, key: Key, now: Tick) -> Charge {
        let backoff = self.backoff;
        let bucket = self.bucket(key, now);
        let at = now.max(bucket.last.plus(Duration::from_micros(1)));
        let charge = Charge {
            key,
            at,
            before: *bucket,
        };
        if bucket.tag == 0 {
            bucket.tag = key.tag();
        }
        bucket.joined |= bucket.tag != key.tag();
        let remembered = backoff.remembered(bucket.failures, now.since(bucket.last));
        bucket.failures = remembered.saturating_add(1);
        bucket.last = at;
        charge
    }

    /// Refunds a failure. If none was counted since, the bucket is restored, so that frequent sign-ins do not keep old
    /// failures from being forgotten. Otherwise the delay still runs from the later failure.
    pub(super) fn refund(&mut self, charge: &Charge, now: Tick) {
        let bucket = self.bucket(charge.key, now);
        if bucket.last == charge.at {
            *bucket = charge.before;
        } else if bucket.tag == charge.key.tag() || bucket.joined {
            // Otherwise another key has taken the bucket since, and this key's failure is no longer in it.
            bucket.failures = bucket.failures.saturating_sub(1);
        }
    }

    /// Forgets the failures of `key`, unless other keys are counted with it.
    pub(super) fn forgive(&mut self, key: Key, now: Tick) {
        let bucket = self.bucket(key, now);
        if bucket.tag == key.tag() && !bucket.joined {
            *bucket = Bucket::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::keys::Keyer, *};

    const BACKOFF: Backoff = Backoff {
        free: 4,
        first: Duration::from_secs(1),
        most: Duration::from_mins(15),
    };

    fn key(keyer: &Keyer, name: &str) -> Key {
        keyer.keys(name, [192, 0, 2, 1].into()).pair
    }

    fn at(seconds: u64) -> Tick {
        Tick::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn delays_double_from_the_fifth_failure_to_the_cap() {
        let seconds: Vec<_> = (0..=17).map(|n| BACKOFF.delay(n).as_secs()).collect();
        assert_eq!(
            seconds,
            [
                0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900
            ]
        );
        assert_eq!(BACKOFF.delay(u32::MAX).as_secs(), 900);
    }

    #[test]
    fn bucket_takes_24_bytes() {
        assert_eq!(size_of::<Bucket>(), 24);
    }

    #[test]
    fn success_never_clears_failures_of_another_key() {
        let keyer = Keyer::generate();
        let (one, two) = (key(&keyer, "one"), key(&keyer, "two"));
        for victim_first in [true, false] {
            let mut failures = Failures::new(BACKOFF, 1); // every key collides
            let order = if victim_first { [one, two] } else { [two, one] };
            for _ in 0..6 {
                let _ = failures.charge(order[0], at(0));
                let _ = failures.charge(order[1], at(0));
            }
            // The attacker's own account signs in, as often as it likes.
            for _ in 0..50 {
                let charge = failures.charge(two, at(1));
                failures.refund(&charge, at(1));
                failures.forgive(two, at(1));
            }
            assert!(failures.wait(one, at(1)) >= BACKOFF.delay(6));
        }
    }

    #[test]
    fn one_failure_is_forgotten_per_longest_delay_until_the_bucket_is_free() {
        let keyer = Keyer::generate();
        let (one, two) = (key(&keyer, "one"), key(&keyer, "two"));
        let mut failures = Failures::new(BACKOFF, 1);
        for _ in 0..100 {
            let _ = failures.charge(one, at(0));
        }
        assert!(!failures.wait(two, at(899)).is_zero(), "joined: waits too");
        assert!(failures.wait(two, at(901)).is_zero());
        // First the delay, then 15 failures that are forgotten one every 15 min.
        assert_eq!(failures.bucket(two, at(900 * 15)).failures, 100);
        let _ = failures.charge(two, at(900 * 14 + 1));
        assert_eq!(failures.bucket(two, at(900 * 14 + 1)).failures, 3);
        assert_eq!(failures.bucket(two, at(900 * 17 + 2)).failures, 0);
        let _ = failures.charge(two, at(900 * 17 + 2));
        failures.forgive(two, at(900 * 17 + 2));
        assert_eq!(failures.bucket(two, at(900 * 17 + 2)).tag, 0);
    }

    #[test]
    fn waiting_for_failures_to_be_forgotten_gains_nothing() {
        let key = key(&Keyer::generate(), "one");
        for pause in [0, 60, 450, 899, 900, 901, 1_800, 3_600] {
            let mut failures = Failures::new(BACKOFF, 1);
            let mut now = 0;
            let mut tried = 0;
            while now < 100 * 3_600 {
                let _ = failures.charge(key, at(now));
                tried += 1;
                now += failures.wait(key, at(now)).as_secs() + 1 + pause;
            }
            assert!(
                tried <= 15 + 400,
                "{tried} attempts in 100 h, pausing {pause} s"
            );
        }
    }

    #[test]
    fn frequent_sign_ins_do_not_keep_old_failures_alive() {
        let keyer = Keyer::generate();
        let (own, other) = (key(&keyer, "own"), key(&keyer, "other"));
        let mut failures = Failures::new(BACKOFF, 1);
        for _ in 0..9 {
            let _ = failures.charge(other, at(0));
        }
        for minute in 1..=141 {
            let charge = failures.charge(own, at(60 * minute));
            failures.refund(&charge, at(60 * minute));
        }
        for _ in 0..4 {
            let _ = failures.charge(own, at(60 * 141));
        }
        assert!(failures.wait(own, at(60 * 141)).is_zero());
    }

    #[test]
    fn refund_keeps_later_charges() {
        let keyer = Keyer::generate();
        let (own, other) = (key(&keyer, "own"), key(&keyer, "other"));
        let mut failures = Failures::new(BACKOFF, 1);
        let charge = failures.charge(own, at(0));
        for _ in 0..5 {
            let _ = failures.charge(other, at(0));
        }
        failures.refund(&charge, at(0));
        failures.forgive(own, at(0));
        assert!(failures.wait(other, at(0)) >= BACKOFF.first);
    }

    #[test]
    fn refund_takes_one_own_failure_and_none_of_another_key() {
        let keyer = Keyer::generate();
        let (own, other) = (key(&keyer, "own"), key(&keyer, "other"));
        let mut failures = Failures::new(BACKOFF, 1);
        let first = failures.charge(own, at(0));
        for _ in 0..5 {
            let _ = failures.charge(own, at(0));
        }
        failures.refund(&first, at(0));
        assert_eq!(failures.bucket(own, at(0)).failures, 5);

        let later = at(900 * 7);
        for _ in 0..2 {
            let _ = failures.charge(other, later);
        }
        assert_eq!(
            failures.bucket(other, later).failures,
            2,
            "own's are forgotten"
        );
        failures.refund(&first, later);
        assert_eq!(failures.bucket(other, later).failures, 2);
    }

    /// A step of a generated sequence; the number chooses the key.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Fail(u8),
        Succeed(u8),
        Pass(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..4_u8).prop_map(Step::Fail),
            2 => (0..4_u8).prop_map(Step::Succeed),
            1 => (0..4_000_u16).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        #[test]
        fn sharing_buckets_never_shortens_a_delay(steps in steps(), buckets in 1..4_usize) {
            let keyer = Keyer::generate();
            let keys: Vec<_> = (0..4).map(|n| key(&keyer, &n.to_string())).collect();
            let mut shared = Failures::new(BACKOFF, buckets);
            let mut alone: Vec<_> = (0..4).map(|_| Failures::new(BACKOFF, 1)).collect();
            let mut now = at(0);
            for step in steps {
                match step {
                    Step::Fail(n) => {
                        let _ = shared.charge(keys[usize::from(n)], now);
                        let _ = alone[usize::from(n)].charge(keys[usize::from(n)], now);
                    }
                    Step::Succeed(n) => {
                        let key = keys[usize::from(n)];
                        for table in [&mut shared, &mut alone[usize::from(n)]] {
                            let charge = table.charge(key, now);
                            table.refund(&charge, now);
                            table.forgive(key, now);
                        }
                    }
                    Step::Pass(seconds) => now = now.plus(Duration::from_secs(seconds.into())),
                }
                for (table, key) in alone.iter_mut().zip(&keys) {
                    prop_assert!(shared.wait(*key, now) >= table.wait(*key, now));
                }
            }
        }
    }
}
