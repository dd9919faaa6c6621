//! Limits on concurrent work for callers without a credential: streams (health's Watch, and reflection), and request
//! bodies that are still arriving.
//!
//! With a semaphore, whoever came first could keep everybody else out. Here the oldest entry is evicted: honest
//! work is over within moments, and can be started again without harm if not.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::limits::Limits;
use crate::{
    domain::address::site_of,
    metrics::{Bound, LoadShed, ShedAction},
};

/// Limits concurrent entries, in total and per network, by evicting the oldest.
#[derive(Clone, Debug)]
pub(super) struct AnonymousLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_network: usize,
    /// Minimum age of an entry that may be evicted.
    min_age: Duration,
    /// Oldest first.
    entries: Mutex<Vec<Entry>>,
    counts: (LoadShed, Bound),
}

#[derive(Debug)]
struct Entry {
    network: Option<IpNet>,
    since: Instant,
    evicted: Arc<Notify>,
}

/// An admitted entry, removed when dropped.
#[derive(Debug)]
pub(super) struct AnonymousPermit {
    limit: Arc<Inner>,
    evicted: Arc<Notify>,
}

impl AnonymousLimit {
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
            entries: Mutex::default(),
            counts,
        }))
    }

    /// Admits one more entry of a network, evicting the oldest if a maximum is reached: the oldest of that network,
    /// or else the oldest of all. `None`: that one is too young. Without a network (behind a trusted proxy, which
    /// stands for many clients) only the total is limited.
    pub(super) fn admit(&self, network: Option<IpNet>) -> Option<AnonymousPermit> {
        let now = Instant::now();
        let mut entries = self.0.lock();
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
            entries.remove(oldest).evicted.notify_one();
        }
        let evicted = Arc::new(Notify::new());
        entries.push(Entry {
            network,
            since: now,
            evicted: Arc::clone(&evicted),
        });
        Some(AnonymousPermit {
            limit: Arc::clone(&self.0),
            evicted,
        })
    }
}

impl AnonymousPermit {
    /// Completes when the entry is evicted.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for AnonymousPermit {
    fn drop(&mut self) {
        let is_other = |entry: &Entry| !Arc::ptr_eq(&entry.evicted, &self.evicted);
        self.limit.lock().retain(is_other);
    }
}

impl Inner {
    fn count(&self, outcome: ShedAction) {
        let (load_shed, bound) = &self.counts;
        load_shed.count(*bound, outcome);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Admits anonymous streams. Their duration is limited, too, and shutdown does not wait for them.
#[derive(Clone, Debug)]
pub(super) struct AnonymousStreams {
    limit: AnonymousLimit,
    lifetime: Duration,
    stopping: watch::Receiver<bool>,
}

/// An admitted stream.
#[derive(Debug)]
pub(super) struct AnonymousStream {
    permit: AnonymousPermit,
    until: Instant,
    stopping: watch::Receiver<bool>,
}

/// Why a stream was ended. The message is for the client, which may start another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    Stopping,
    Expired,
    Evicted,
}

impl EndReason {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Stopping => "the server is stopping",
            Self::Expired => "this stream has reached its maximum duration: start another one",
            Self::Evicted => "there are too many streams: start another one later",
        }
    }
}

/// The error for a stream that is not admitted.
pub(super) const TOO_MANY: &str = "there are too many anonymous streams";

impl AnonymousStreams {
    /// `stopping` becomes true, or is closed, when the server shuts down.
    pub(super) fn new(
        limits: &Limits,
        load_shed: LoadShed,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            limit: AnonymousLimit::new(
                (load_shed, Bound::AnonymousStreams),
                limits.max_anonymous_streams,
                limits.max_anonymous_streams_per_network,
                limits.eviction_min_age,
            ),
            lifetime: limits.anonymous_stream_timeout,
            stopping,
        }
    }

    /// Admits one more stream, evicting the oldest if need be; `None` if that is too young.
    pub(super) fn admit(&self, ip: Option<IpAddr>) -> Option<AnonymousStream> {
        Some(AnonymousStream {
            permit: self.limit.admit(ip.map(site_of))?,
            until: Instant::now() + self.lifetime,
            stopping: self.stopping.clone(),
        })
    }
}

impl AnonymousStream {
    /// Completes when the stream must end.
    pub(super) async fn ended(&mut self) -> EndReason {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => EndReason::Stopping,
            () = self.permit.evicted() => EndReason::Evicted,
            () = tokio::time::sleep_until(self.until) => EndReason::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const MIN_AGE: Duration = Duration::from_secs(1);

    fn limit(max: usize, max_per_network: usize) -> AnonymousLimit {
        let counts = (LoadShed::default(), Bound::AnonymousStreams);
        AnonymousLimit::new(counts, max, max_per_network, MIN_AGE)
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
        assert!(first.evicted().now_or_never().is_some());
        assert!(second.evicted().now_or_never().is_none());
        let fourth = limit.admit(Some(from("2001:db8::1"))).unwrap();
        assert!(
            second.evicted().now_or_never().is_some(),
            "the oldest of all"
        );
        assert!(other.evicted().now_or_never().is_none());
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
