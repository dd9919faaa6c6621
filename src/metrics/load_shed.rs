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
pub enum ShedAction {
    /// The new one is refused.
    Refused,
    /// An existing one is closed to make room.
    Evicted,
    /// The new one waits, since no existing one can be closed yet.
    Delayed,
}

/// The combinations that occur.
const ALL: [(Bound, ShedAction); 9] = [
    (Bound::NetworkConnections, ShedAction::Refused),
    (Bound::NetworkConnections, ShedAction::Evicted),
    (Bound::Connections, ShedAction::Evicted),
    (Bound::Connections, ShedAction::Delayed),
    (Bound::Memory, ShedAction::Refused),
    (Bound::AnonymousStreams, ShedAction::Refused),
    (Bound::AnonymousStreams, ShedAction::Evicted),
    (Bound::AnonymousBodies, ShedAction::Refused),
    (Bound::AnonymousBodies, ShedAction::Evicted),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    bound: &'static str,
    outcome: &'static str,
}

impl Labels {
    const fn new(bound: Bound, action: ShedAction) -> Self {
        Self {
            bound: match bound {
                Bound::NetworkConnections => "network_connections",
                Bound::Connections => "connections",
                Bound::Memory => "memory",
                Bound::AnonymousStreams => "anonymous_streams",
                Bound::AnonymousBodies => "anonymous_bodies",
            },
            outcome: match action {
                ShedAction::Refused => "refused",
                ShedAction::Evicted => "evicted",
                ShedAction::Delayed => "delayed",
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
        for (bound, action) in ALL {
            drop(this.0.get_or_create(&Labels::new(bound, action)));
        }
        this
    }

    /// Counts one occurrence.
    pub fn count(&self, bound: Bound, action: ShedAction) {
        self.0.get_or_create(&Labels::new(bound, action)).inc();
    }
}
