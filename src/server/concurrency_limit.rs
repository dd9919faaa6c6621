//! Limits concurrent work for callers without a credential, in total and per network.
//!
//! With a semaphore, whoever came first could keep everybody else out. Here the oldest entry is evicted: honest
//! work is over within moments, and can be started again without harm if not.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{sync::Notify, time::Instant};

use crate::metrics::{Bound, LoadShed, ShedAction};

/// Limits concurrent entries by evicting the oldest.
#[derive(Clone, Debug)]
pub(super) struct ConcurrencyLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_network: usize,
    /// Minimum age of an entry that may be evicted.
    min_age: Duration,
    admitted: Mutex<Admitted>,
    counts: (LoadShed, Bound),
}

#[derive(Debug, Default)]
struct Admitted {
    /// Oldest first.
    entries: Vec<Entry>,
    next_id: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    network: Option<IpNet>,
    since: Instant,
    revoked: Arc<Notify>,
}

/// An admitted entry, removed when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    inner: Arc<Inner>,
    id: u64,
    revoked: Arc<Notify>,
}

impl ConcurrencyLimit {
    /// `counts`: where evictions and refusals are counted, and as which bound.
    pub(super) fn new(
        counts: (LoadShed, Bound),
        max: usize,
        max_per_network: usize,
        min_age: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            max,
            max_per_network,
            min_age,
            admitted: Mutex::default(),
            counts,
        }))
    }

    /// Admits one more entry of a network, evicting the oldest if a maximum is reached: the oldest of that network,
    /// or else the oldest of all. `None`: that one is too young. Without a network (behind a trusted proxy, which
    /// stands for many clients) only the total is limited.
    pub(super) fn admit(&self, network: Option<IpNet>) -> Option<Permit> {
        let now = Instant::now();
        let mut admitted = self.0.lock();
        let entries = &mut admitted.entries;
        let is_neighbour = |entry: &&Entry| network.is_some() && entry.network == network;
        let oldest = if entries.iter().filter(is_neighbour).count() >= self.0.max_per_network {
            entries.iter().position(|entry| entry.network == network)
        } else if entries.len() >= self.0.max {
            Some(0)
        } else {
            None
        };
        if let Some(oldest) = oldest {
            if now.duration_since(entries[oldest].since) < self.0.min_age {
                self.0.count(ShedAction::Refused);
                return None;
            }
            self.0.count(ShedAction::Evicted);
            entries.remove(oldest).revoked.notify_one();
        }
        let id = admitted.next_id;
        admitted.next_id += 1;
        let revoked = Arc::new(Notify::new());
        admitted.entries.push(Entry {
            id,
            network,
            since: now,
            revoked: Arc::clone(&revoked),
        });
        Some(Permit {
            inner: Arc::clone(&self.0),
            id,
            revoked,
        })
    }
}

impl Permit {
    /// Completes when the entry is evicted.
    pub(super) async fn revoked(&self) {
        self.revoked.notified().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut admitted = self.inner.lock();
        admitted.entries.retain(|entry| entry.id != self.id);
    }
}

impl Inner {
    fn count(&self, action: ShedAction) {
        let (load_shed, bound) = &self.counts;
        load_shed.count(*bound, action);
    }

    fn lock(&self) -> MutexGuard<'_, Admitted> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::site_of;
    use futures_util::FutureExt;

    const MIN_AGE: Duration = Duration::from_secs(1);

    fn limit(max: usize, max_per_network: usize) -> ConcurrencyLimit {
        let counts = (LoadShed::default(), Bound::AnonymousStreams);
        ConcurrencyLimit::new(counts, max, max_per_network, MIN_AGE)
    }

    fn from(address: &str) -> IpNet {
        site_of(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn full_network_evicts_its_own_oldest_and_a_full_limit_the_oldest_of_all() {
        let limit = limit(3, 2);
        let first = limit.admit(Some(from("192.0.2.1"))).unwrap();
        let second = limit.admit(Some(from("192.0.2.2"))).unwrap();
        assert!(
            limit.admit(Some(from("192.0.2.3"))).is_none(),
            "both are young"
        );
        let other = limit.admit(Some(from("198.51.100.1"))).unwrap();
        tokio::time::advance(MIN_AGE).await;
        let third = limit.admit(Some(from("192.0.2.3"))).unwrap();
        assert!(first.revoked().now_or_never().is_some());
        assert!(second.revoked().now_or_never().is_none());
        let fourth = limit.admit(Some(from("2001:db8::1"))).unwrap();
        assert!(
            second.revoked().now_or_never().is_some(),
            "the oldest of all"
        );
        assert!(other.revoked().now_or_never().is_none());
        drop((third, fourth));
        for _ in 0..2 {
            limit
                .admit(Some(from("203.0.113.1")))
                .map(std::mem::forget)
                .unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn entries_without_a_network_only_count_in_total() {
        let limit = limit(3, 1);
        let all: Vec<_> = (0..3).map(|_| limit.admit(None)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(limit.admit(None).is_none());
    }
}
