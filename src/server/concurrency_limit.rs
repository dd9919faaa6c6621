//! How much of a kind may go on at once for callers who have shown no credential: in all, and for one network.
//!
//! A semaphore would let whoever came first keep the others out. Here the oldest makes room: what is honest is
//! over within moments, and starts anew without harm where it is not.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{sync::Notify, time::Instant};

use crate::metrics::{Bound, LoadShed, Outcome};

/// What has been admitted.
#[derive(Clone, Debug)]
pub(super) struct ConcurrencyLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_network: usize,
    /// How old something must be to make room.
    min_age: Duration,
    admitted: Mutex<Admitted>,
    counts: (LoadShed, Bound),
}

#[derive(Debug, Default)]
struct Admitted {
    /// The oldest first.
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

/// One that was admitted. It makes room when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    inner: Arc<Inner>,
    id: u64,
    revoked: Arc<Notify>,
}

impl ConcurrencyLimit {
    /// `counts`: what it counts into, and as which bound.
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

    /// Admits one more of a network, in the place of the oldest if need be: of that network where it has its
    /// share, else of all. `None`: all are too young to make room. A network that is not given (a trusted proxy's)
    /// stands for many, and has no share.
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
                self.0.count(Outcome::Refused);
                return None;
            }
            self.0.count(Outcome::Evicted);
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
    /// Completes when it must make room.
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
    fn count(&self, outcome: Outcome) {
        let (load_shed, bound) = &self.counts;
        load_shed.count(*bound, outcome);
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
    async fn a_network_makes_room_for_itself_and_the_oldest_for_all() {
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
    async fn whom_no_address_stands_for_has_no_share() {
        let limit = limit(3, 1);
        let all: Vec<_> = (0..3).map(|_| limit.admit(None)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(limit.admit(None).is_none());
    }
}
