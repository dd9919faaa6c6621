//! Counts what is refused, evicted or delayed so that a flood cannot use up shared resources.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// A limited resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Connections from one network.
    NetworkConnections,
    /// Connections in total.
    Connections,
    /// Memory for requests and replies.
    Memory,
    /// Streams of unauthenticated callers.
    AnonymousStreams,
    /// Request bodies in transit from unauthenticated callers.
    AnonymousBodies,
}

/// What happens when a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new one is refused.
    Refused,
    /// An existing one is closed to make room.
    Evicted,
    /// The new one waits, since no existing one can be closed yet.
    Delayed,
}

/// The combinations that occur.
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

/// Counts what the server's limits refuse, evict or delay. Clones share the counts; the default is not registered
/// anywhere.
#[derive(Clone, Debug, Default)]
pub struct LoadShed(Family<Labels, Counter>);

impl LoadShed {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "What was refused, ended or kept waiting, by the bound that was reached";
        let this = Self(super::family(registry, "load_shed", help));
        // Present from the start, so that the first count shows up as an increase.
        for (bound, outcome) in ALL {
            drop(this.0.get_or_create(&Labels::new(bound, outcome)));
        }
        this
    }

    /// Counts one occurrence.
    pub fn count(&self, bound: Bound, outcome: Outcome) {
        self.0.get_or_create(&Labels::new(bound, outcome)).inc();
    }
}
