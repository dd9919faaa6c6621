//! All open connections. Enforces the maximum, in total and per network, by evicting a connection for each new one
//! beyond it. The connection that has been idle or anonymous for longest is evicted first, so that slow sockets and
//! anonymous streams cannot keep others out.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::time::Instant;

use super::{connection_state::ConnectionState, memory_budget::Shared};
use crate::{
    domain::address::site_of,
    metrics::{Bound, LoadShed, ShedAction},
    server::limits::Limits,
};

/// How many connections may be answered with a refusal at a time; more are closed without a reply.
const MAX_REFUSALS: usize = 16;

/// How often to warn about a network that has reached its maximum.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

pub(super) struct ConnectionRegistry {
    connections: Vec<Arc<ConnectionState>>,
    networks: HashMap<IpNet, usize>,
    refusals: Vec<Arc<ConnectionState>>,
    shared: Arc<Shared>,
    warned_at: Option<Instant>,
    /// Whether the connection that waits was counted as delayed.
    is_wait_counted: bool,
}

/// What happens to a new connection.
pub(super) enum Admission {
    Admitted(Arc<ConnectionState>),
    /// It must wait until another connection has been closed.
    Wait,
    /// Its network has its maximum of connections, all in use: it is answered with a refusal.
    Refused(Arc<ConnectionState>),
    Dropped,
}

impl ConnectionRegistry {
    pub(super) fn new(limits: Arc<Limits>, load_shed: LoadShed) -> Self {
        Self {
            connections: Vec::new(),
            networks: HashMap::new(),
            refusals: Vec::new(),
            shared: Arc::new(Shared::new(limits, load_shed)),
            warned_at: None,
            is_wait_counted: false,
        }
    }

    /// Admits a connection from `ip`, evicting another one if the maximum is reached.
    pub(super) fn admit(&mut self, ip: Option<IpAddr>) -> Admission {
        let limits = &self.shared.limits;
        let network = ip.map(|ip| ip.to_canonical()).filter(|ip| {
            let mut uncounted = limits.uncounted_networks.iter();
            !uncounted.any(|network| network.contains(ip))
        });
        let network = network.map(site_of);
        let open = self.connections.len() + self.refusals.len();
        let is_full = open >= limits.max_connections;
        let of_network = network.and_then(|network| self.networks.get(&network));
        let network_is_full =
            of_network.is_some_and(|count| *count >= limits.connections_per_network());
        if network_is_full && !self.evict_oldest(network) {
            let load_shed = &self.shared.load_shed;
            load_shed.count(Bound::NetworkConnections, ShedAction::Refused);
            self.is_wait_counted = false;
            self.warn(network);
            if is_full || self.refusals.len() >= MAX_REFUSALS {
                return Admission::Dropped;
            }
            let connection = Arc::new(ConnectionState::new(None, Arc::clone(&self.shared)));
            self.refusals.push(Arc::clone(&connection));
            return Admission::Refused(connection);
        }
        if is_full && !network_is_full && !self.evict_oldest(None) && !self.is_wait_counted {
            // Counted once for each connection that waits, however often it is retried.
            self.is_wait_counted = true;
            let load_shed = &self.shared.load_shed;
            load_shed.count(Bound::Connections, ShedAction::Delayed);
        }
        if is_full || network_is_full {
            return Admission::Wait;
        }
        self.is_wait_counted = false;
        let connection = Arc::new(ConnectionState::new(network, Arc::clone(&self.shared)));
        if ip.is_none() {
            // The kernel has authenticated local processes.
            connection.note_authenticated();
        }
        self.connections.push(Arc::clone(&connection));
        if let Some(network) = network {
            *self.networks.entry(network).or_default() += 1;
        }
        Admission::Admitted(connection)
    }

    /// Evicts the connection that has been idle or anonymous for longest, of `network` if given. Returns whether
    /// there was one, or one is being evicted already.
    fn evict_oldest(&self, network: Option<IpNet>) -> bool {
        let of_network =
            |connection: &&Arc<ConnectionState>| network.is_none() || connection.network == network;
        let candidates = || self.connections.iter().filter(of_network);
        if candidates().any(|connection| connection.is_evicted()) {
            return true;
        }
        let evictable =
            candidates().filter_map(|connection| Some((connection.evictable_since()?, connection)));
        let oldest = evictable.min_by_key(|(since, _)| *since);
        if let Some((_, connection)) = &oldest {
            connection.evict();
            let bound = match network {
                Some(_) => Bound::NetworkConnections,
                None => Bound::Connections,
            };
            self.shared.load_shed.count(bound, ShedAction::Evicted);
        }
        oldest.is_some()
    }

    /// Removes closed connections.
    pub(super) fn sweep(&mut self) {
        let networks = &mut self.networks;
        self.connections.retain(|connection| {
            if !connection.is_closed() {
                return true;
            }
            if let Some(network) = connection.network
                && let Some(count) = networks.get_mut(&network)
            {
                *count -= 1;
                if *count == 0 {
                    networks.remove(&network);
                }
            }
            false
        });
        self.refusals.retain(|connection| !connection.is_closed());
    }

    fn warn(&mut self, network: Option<IpNet>) {
        let now = Instant::now();
        let is_due = |at: Instant| now.duration_since(at) >= WARN_INTERVAL;
        if let Some(network) = network
            && self.warned_at.is_none_or(is_due)
        {
            self.warned_at = Some(now);
            tracing::warn!(
                %network,
                max = self.shared.limits.connections_per_network(),
                "refusing connections: a network has reached its maximum; if it holds your proxies, name it with \
                 --trusted-proxy"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(max: usize, per_network: usize) -> ConnectionRegistry {
        let limits = Limits {
            max_connections: max,
            max_connections_per_network: Some(per_network),
            uncounted_networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Limits::default()
        };
        ConnectionRegistry::new(Arc::new(limits), LoadShed::default())
    }

    fn enter(registry: &mut ConnectionRegistry, ip: &str) -> Arc<ConnectionState> {
        match registry.admit(Some(ip.parse().unwrap())) {
            Admission::Admitted(connection) => connection,
            _ => panic!("{ip} was not admitted"),
        }
    }

    fn must_wait(registry: &mut ConnectionRegistry, ip: &str) -> bool {
        matches!(registry.admit(Some(ip.parse().unwrap())), Admission::Wait)
    }

    fn busy(registry: &mut ConnectionRegistry, ip: &str) -> Arc<ConnectionState> {
        let connection = enter(registry, ip);
        connection.begin_request(0);
        connection.note_authenticated();
        connection
    }

    async fn a_second() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn longest_idle_connection_is_evicted_and_an_authenticated_busy_one_never() {
        let mut registry = registry(3, 3);
        let _busy = busy(&mut registry, "192.0.2.1");
        a_second().await;
        let silent = enter(&mut registry, "192.0.2.1");
        a_second().await;
        let young = busy(&mut registry, "192.0.2.1");
        assert!(must_wait(&mut registry, "198.51.100.1"));
        silent.evicted.notified().await;
        assert!(
            must_wait(&mut registry, "198.51.100.1"),
            "only one is evicted"
        );
        silent.close();
        registry.sweep();
        let newest = busy(&mut registry, "198.51.100.1");
        assert!(
            must_wait(&mut registry, "198.51.100.1"),
            "all others are busy"
        );
        assert!(!young.is_evicted() && !newest.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn anonymous_stream_is_evicted_once_it_is_old() {
        let mut registry = registry(2, 2);
        let stream = enter(&mut registry, "192.0.2.1");
        stream.begin_request(0);
        let _busy = busy(&mut registry, "192.0.2.2");
        assert!(must_wait(&mut registry, "198.51.100.1"));
        assert!(!stream.is_evicted(), "it is too young");
        a_second().await;
        assert!(must_wait(&mut registry, "198.51.100.1"));
        assert!(stream.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn network_has_its_maximum_and_a_trusted_proxy_only_the_total() {
        let mut registry = registry(8, 2);
        let all: Vec<_> = (1..=2)
            .map(|n| busy(&mut registry, &format!("192.0.2.{n}")))
            .collect();
        let refused = |registry: &mut ConnectionRegistry| {
            matches!(
                registry.admit(Some("192.0.2.3".parse().unwrap())),
                Admission::Refused(_)
            )
        };
        assert!(refused(&mut registry));
        for _ in 0..3 {
            busy(&mut registry, "10.0.0.1");
        }
        busy(&mut registry, "192.0.3.1");
        all[0].end_request(0);
        assert!(
            must_wait(&mut registry, "192.0.2.3"),
            "evicts one of its own network"
        );
        all[0].close();
        registry.sweep();
        enter(&mut registry, "192.0.2.3");
    }
}
