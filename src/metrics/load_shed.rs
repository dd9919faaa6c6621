//! What is refused, ended or kept waiting, so that a flood does not take what is there for all.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What there is only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Connections from one network.
    NetworkConnections,
    /// Connections in all.
    Connections,
    /// Memory for requests and replies.
    Memory,
    /// Streams of callers without a credential.
    AnonymousStreams,
    /// Bodies on their way of callers without a credential.
    AnonymousBodies,
}

/// What comes of reaching a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The newcomer is turned away.
    Refused,
    /// Another must make room.
    Evicted,
    /// The newcomer waits: nobody can make room yet.
    Delayed,
}

/// All that happens.
const ALL: [(Bound, Outcome); 9] = [
    (Bound::NetworkConnections, Outcome::Refused),
    (Bound::NetworkConnections, Outcome::Evicted),
    (Bound::Connections, Outcome::Evicted),
    (Bound::Connections, Outcome::Delayed),
    (Bound::Memory, Outcome::Refused),
    (Bound::AnonymousStreams, Outcome::Refused),
    (Bound::AnonymousStreams, Outcome::Evicted),
    (Bound::AnonymousBodies, Outcome::Refused),
    (Bound::AnonymousBodies, Outcome::Evicted),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    bound: &'static str,
    outcome: &'static str,
}

impl Labels {
    const fn new(bound: Bound, outcome: Outcome) -> Self {
        Self {
            bound: match bound {
                Bound::NetworkConnections => "network_connections",
                Bound::Connections => "connections",
                Bound::Memory => "memory",
                Bound::AnonymousStreams => "anonymous_streams",
                Bound::AnonymousBodies => "anonymous_bodies",
            },
            outcome: match outcome {
                Outcome::Refused => "refused",
                Outcome::Evicted => "evicted",
                Outcome::Delayed => "delayed",
            },
        }
    }
}

/// What the bounds of the server count into. Clones share it; by default nobody reads it.
#[derive(Clone, Debug, Default)]
pub struct LoadShed(Family<Labels, Counter>);

impl LoadShed {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "What was refused, ended or kept waiting, by the bound that was reached";
        let this = Self(super::family(registry, "load_shed", help));
        // There from the start, so that the first of a flood is a rise.
        for (bound, outcome) in ALL {
            drop(this.0.get_or_create(&Labels::new(bound, outcome)));
        }
        this
    }

    /// Counts what came of reaching a bound.
    pub fn count(&self, bound: Bound, outcome: Outcome) {
        self.0.get_or_create(&Labels::new(bound, outcome)).inc();
    }
}
