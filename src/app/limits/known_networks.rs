//! The networks from which each account was signed in to recently.

use std::time::Duration;

use super::{keys::Key, ticks::Tick};

/// Entries per set. A full set evicts its oldest entry, which only throttles more: a key is known by its own tag
/// alone.
const WAYS: usize = 4;

/// How far the stored time of the last sign-in may lag behind.
const STORE_EVERY: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// 0 if the entry is free.
    tag: u64,
    account: u64,
    until: Tick,
}

/// A fixed number of (account, network) keys, each of which is known for a fixed time.
#[derive(Debug)]
pub(super) struct KnownNetworks {
    kept_for: Duration,
    sets: Box<[[Entry; WAYS]]>,
    /// How often any account's networks were forgotten. A sign-in that began before the last time is not remembered,
    /// because its password may be the one that was replaced.
    forgotten: u64,
}

impl KnownNetworks {
    pub(super) fn new(kept_for: Duration, buckets: usize) -> Self {
        let sets = buckets.div_ceil(WAYS).max(1);
        Self {
            kept_for,
            sets: vec![[Entry::default(); WAYS]; sets].into_boxed_slice(),
            forgotten: 0,
        }
    }

    fn set(&mut self, key: Key) -> &mut [Entry; WAYS] {
        &mut self.sets[key.index(self.sets.len())]
    }

    pub(super) fn contains(&mut self, key: Key, now: Tick) -> bool {
        let mut entries = self.set(key).iter();
        entries.any(|entry| entry.tag == key.tag() && now < entry.until)
    }

    /// Read this when a sign-in begins and pass it to [`remember`](Self::remember) as `began`.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Notes a sign-in of `age` ago, which began when [`forgotten`](Self::forgotten) was `began`. Returns whether it
    /// should be stored: the network was unknown, or was last seen in an earlier hour.
    pub(super) fn remember(
        &mut self,
        account: Key,
        key: Key,
        now: Tick,
        age: Duration,
        began: u64,
    ) -> bool {
        if began != self.forgotten || age >= self.kept_for {
            return false;
        }
        let until = now.plus(self.kept_for.saturating_sub(age));
        let set = self.set(key);
        let own = set.iter().position(|entry| entry.tag == key.tag());
        let oldest = (0..WAYS).min_by_key(|way| set[*way].until).unwrap_or(0);
        let entry = &mut set[own.unwrap_or(oldest)];
        let hour = |time: Tick| time.count(STORE_EVERY);
        let is_due = own.is_none() || hour(until) > hour(entry.until);
        let later = until.max(own.map_or(until, |_| entry.until));
        *entry = Entry {
            tag: key.tag(),
            account: account.tag(),
            until: later,
        };
        is_due
    }

    /// Forgets the networks of an account. Sign-ins under way, of any account, will not be remembered.
    pub(super) fn forget(&mut self, account: Key) {
        self.forgotten += 1;
        let entries = self.sets.as_flattened_mut().iter_mut();
        for entry in entries.filter(|entry| entry.account == account.tag()) {
            *entry = Entry::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keys::Keyer, *};

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn network_is_known_for_a_fixed_time_and_never_by_collision() {
        let keyer = Keyer::generate();
        let keys = |name: &str| keyer.keys(name, [192, 0, 2, 1].into());
        let key = |name: &str| keys(name).network;
        let mut networks = KnownNetworks::new(HOUR, 4); // one set
        let start = Tick::default();
        let remember = |networks: &mut KnownNetworks, name: &str, age: u64, now| {
            let (account, age) = (keys(name).account, Duration::from_secs(age));
            networks.remember(account, key(name), now, age, networks.forgotten())
        };
        assert!(remember(&mut networks, "alice", 0, start));
        assert!(!remember(&mut networks, "alice", 0, start), "no news");
        assert!(!remember(&mut networks, "bob", 3_600, start), "too old");
        assert!(networks.contains(key("alice"), start));
        assert!((0..1_000).all(|n| !networks.contains(key(&n.to_string()), start)));
        assert!(!networks.contains(key("alice"), start.plus(HOUR)));
        for n in 0..4 {
            let later = start.plus(Duration::from_secs(n));
            remember(&mut networks, &n.to_string(), 0, later);
        }
        assert!(
            !networks.contains(key("alice"), start),
            "the oldest was pushed out"
        );
        assert!((0..4).all(|n| networks.contains(key(&n.to_string()), start)));
    }

    #[test]
    fn network_is_stored_once_an_hour_and_stays_known_from_its_last_sign_in() {
        let keys = Keyer::generate().keys("alice", [192, 0, 2, 1].into());
        let mut networks = KnownNetworks::new(HOUR * 24, 4);
        let start = Tick::default();
        let news = (0..60_u32 * 3).filter(|minute| {
            let now = start.plus(HOUR / 60 * *minute);
            networks.remember(keys.account, keys.network, now, Duration::ZERO, 0)
        });
        assert_eq!(news.count(), 3);
        let last = start.plus(HOUR / 60 * (60 * 3 - 1));
        let end = last.plus(HOUR * 24);
        assert!(networks.contains(keys.network, end.minus(Duration::from_micros(1))));
        assert!(!networks.contains(keys.network, end));
    }

    #[test]
    fn forgetting_an_account_covers_sign_ins_under_way() {
        let keyer = Keyer::generate();
        let keys = |name: &str, last| keyer.keys(name, [192, 0, last, 1].into());
        let mut networks = KnownNetworks::new(HOUR, 4_096);
        let now = Tick::default();
        for (name, last) in [("alice", 1), ("alice", 2), ("bob", 1)] {
            let keys = keys(name, last);
            networks.remember(keys.account, keys.network, now, Duration::ZERO, 0);
        }
        let began = networks.forgotten();
        networks.forget(keys("alice", 1).account);
        let late = keys("alice", 3);
        assert!(!networks.remember(late.account, late.network, now, Duration::ZERO, began));
        for last in [1, 2, 3] {
            assert!(!networks.contains(keys("alice", last).network, now));
        }
        assert!(networks.contains(keys("bob", 1).network, now));
    }
}
