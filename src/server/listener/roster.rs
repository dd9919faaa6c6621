//! All open connections, so that there are never too many, in all and of one network, and that one can be ended to
//! make room. Whoever has been of no use to anybody known for longest goes first: slow sockets, and streams without a
//! credential, then cannot keep others out.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::time::Instant;

use super::{pulse::Pulse, shared::Shared};
use crate::{
    domain::address::site_of,
    metrics::{Bound, LoadShed, Outcome},
    server::limits::Limits,
};

/// How many connections may be refused at a time; more are closed without a word.
const MAX_REFUSALS: usize = 16;

/// How often to warn of a network that has all its connections.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

pub(super) struct Roster {
    pulses: Vec<Arc<Pulse>>,
    networks: HashMap<IpNet, usize>,
    refusals: Vec<Arc<Pulse>>,
    shared: Arc<Shared>,
    warned_at: Option<Instant>,
    /// Whether the newcomer waits, and nobody can make room.
    is_delaying: bool,
}

/// What becomes of a new connection.
pub(super) enum Admission {
    Admitted(Arc<Pulse>),
    /// It must wait until another has made room, if one can.
    Wait,
    /// Its network has all its connections, and uses them: it is told so.
    Refused(Arc<Pulse>),
    Dropped,
}

impl Roster {
    pub(super) fn new(limits: Arc<Limits>, load_shed: LoadShed) -> Self {
        Self {
            pulses: Vec::new(),
            networks: HashMap::new(),
            refusals: Vec::new(),
            shared: Arc::new(Shared::new(limits, load_shed)),
            warned_at: None,
            is_delaying: false,
        }
    }

    /// Admits a connection from `ip`, or has another make room for it.
    pub(super) fn admit(&mut self, ip: Option<IpAddr>) -> Admission {
        let limits = &self.shared.limits;
        let network = ip.map(|ip| ip.to_canonical()).filter(|ip| {
            let mut uncounted = limits.uncounted_networks.iter();
            !uncounted.any(|network| network.contains(ip))
        });
        let network = network.map(site_of);
        let open = self.pulses.len() + self.refusals.len();
        let is_full = open >= limits.max_connections;
        let of_network = network.and_then(|network| self.networks.get(&network));
        let is_crowded = of_network.is_some_and(|count| *count >= limits.connections_per_network());
        if is_crowded && !self.make_room(network) {
            let load_shed = &self.shared.load_shed;
            load_shed.count(Bound::NetworkConnections, Outcome::Refused);
            self.is_delaying = false;
            self.warn(network);
            if is_full || self.refusals.len() >= MAX_REFUSALS {
                return Admission::Dropped;
            }
            let pulse = Arc::new(Pulse::new(None, Arc::clone(&self.shared)));
            self.refusals.push(Arc::clone(&pulse));
            return Admission::Refused(pulse);
        }
        if is_full && !is_crowded && !self.make_room(None) && !self.is_delaying {
            // Once for each that waits, however often it asks.
            self.is_delaying = true;
            let load_shed = &self.shared.load_shed;
            load_shed.count(Bound::Connections, Outcome::Delayed);
        }
        if is_full || is_crowded {
            return Admission::Wait;
        }
        self.is_delaying = false;
        let pulse = Arc::new(Pulse::new(network, Arc::clone(&self.shared)));
        if ip.is_none() {
            // The kernel knows who a process of this machine is.
            pulse.note_authenticated();
        }
        self.pulses.push(Arc::clone(&pulse));
        if let Some(network) = network {
            *self.networks.entry(network).or_default() += 1;
        }
        Admission::Admitted(pulse)
    }

    /// Has one connection make room, of that network if one is given. Whether there is one that can.
    fn make_room(&self, network: Option<IpNet>) -> bool {
        let of_network = |pulse: &&Arc<Pulse>| network.is_none() || pulse.network == network;
        let candidates = || self.pulses.iter().filter(of_network);
        if candidates().any(|pulse| pulse.is_evicted()) {
            return true;
        }
        let evictable = candidates().filter_map(|pulse| Some((pulse.evictable_since()?, pulse)));
        let oldest = evictable.min_by_key(|(since, _)| *since);
        if let Some((_, pulse)) = &oldest {
            pulse.evict();
            let bound = match network {
                Some(_) => Bound::NetworkConnections,
                None => Bound::Connections,
            };
            self.shared.load_shed.count(bound, Outcome::Evicted);
        }
        oldest.is_some()
    }

    /// Strikes out the connections that are gone.
    pub(super) fn sweep(&mut self) {
        let networks = &mut self.networks;
        self.pulses.retain(|pulse| {
            if !pulse.is_closed() {
                return true;
            }
            if let Some(network) = pulse.network
                && let Some(count) = networks.get_mut(&network)
            {
                *count -= 1;
                if *count == 0 {
                    networks.remove(&network);
                }
            }
            false
        });
        self.refusals.retain(|pulse| !pulse.is_closed());
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
                "refusing connections: one network has as many as it may; where proxies are, name it with \
                 --trusted-proxy"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(max: usize, per_network: usize) -> Roster {
        let limits = Limits {
            max_connections: max,
            max_connections_per_network: Some(per_network),
            uncounted_networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Limits::default()
        };
        Roster::new(Arc::new(limits), LoadShed::default())
    }

    fn enter(roster: &mut Roster, ip: &str) -> Arc<Pulse> {
        match roster.admit(Some(ip.parse().unwrap())) {
            Admission::Admitted(pulse) => pulse,
            _ => panic!("{ip} was not admitted"),
        }
    }

    fn must_wait(roster: &mut Roster, ip: &str) -> bool {
        matches!(roster.admit(Some(ip.parse().unwrap())), Admission::Wait)
    }

    fn busy(roster: &mut Roster, ip: &str) -> Arc<Pulse> {
        let pulse = enter(roster, ip);
        pulse.begin(0);
        pulse.note_authenticated();
        pulse
    }

    async fn a_second() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_connection_makes_room_and_an_authenticated_busy_one_never() {
        let mut roster = roster(3, 3);
        let _busy = busy(&mut roster, "192.0.2.1");
        a_second().await;
        let silent = enter(&mut roster, "192.0.2.1");
        a_second().await;
        let young = busy(&mut roster, "192.0.2.1");
        assert!(must_wait(&mut roster, "198.51.100.1"));
        silent.evicted.notified().await;
        assert!(must_wait(&mut roster, "198.51.100.1"), "not more than that");
        silent.close();
        roster.sweep();
        let newest = busy(&mut roster, "198.51.100.1");
        assert!(must_wait(&mut roster, "198.51.100.1"), "all are busy");
        assert!(!young.is_evicted() && !newest.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_a_credential_makes_room_once_it_is_old() {
        let mut roster = roster(2, 2);
        let stream = enter(&mut roster, "192.0.2.1");
        stream.begin(0);
        let _busy = busy(&mut roster, "192.0.2.2");
        assert!(must_wait(&mut roster, "198.51.100.1"));
        assert!(!stream.is_evicted(), "it has just begun");
        a_second().await;
        assert!(must_wait(&mut roster, "198.51.100.1"));
        assert!(stream.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_has_its_share_and_a_proxy_has_no_bound_but_that_of_all() {
        let mut roster = roster(8, 2);
        let all: Vec<_> = (1..=2)
            .map(|n| busy(&mut roster, &format!("192.0.2.{n}")))
            .collect();
        let refused = |roster: &mut Roster| {
            matches!(
                roster.admit(Some("192.0.2.3".parse().unwrap())),
                Admission::Refused(_)
            )
        };
        assert!(refused(&mut roster));
        for _ in 0..3 {
            busy(&mut roster, "10.0.0.1");
        }
        busy(&mut roster, "192.0.3.1");
        all[0].end(0);
        assert!(must_wait(&mut roster, "192.0.2.3"), "its own makes room");
        all[0].close();
        roster.sweep();
        enter(&mut roster, "192.0.2.3");
    }
}
