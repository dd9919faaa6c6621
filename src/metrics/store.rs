//! The store's metrics: how long work is queued, and how long commits take.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper bounds in seconds, from the wake-up of a thread up to a slow disk.
const BUCKETS_SECS: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
];
/// Upper bounds of the number of writes in a commit.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// A queue of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueName {
    /// The queue of the readers.
    Read,
    /// The queue for credential lookups.
    Lookup,
    /// The queue of the writer.
    Write,
}

impl QueueName {
    const ALL: [Self; 3] = [Self::Read, Self::Lookup, Self::Write];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Lookup => "lookup",
            Self::Write => "write",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_SECS)
}

/// The metrics of the store's threads. Clones share them.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    reads: Histogram,
    lookups: Histogram,
    writes: Histogram,
    commit: Histogram,
    batch: Histogram,
    failures: Family<KindLabel, Counter>,
}

/// Unregistered metrics, for tools and tests.
impl Default for StoreMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl StoreMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let waits = Family::<QueueLabel, Histogram, _>::new_with_constructor(
            histogram as fn() -> Histogram,
        );
        registry.register_with_unit(
            "store_queue",
            "Time that work waits for a thread of the store",
            Unit::Seconds,
            waits.clone(),
        );
        let of = |name: QueueName| {
            let queue = name.as_str();
            waits.get_or_create(&QueueLabel { queue }).clone()
        };
        let [reads, lookups, writes] = QueueName::ALL.map(of);
        let commit = histogram();
        registry.register_with_unit(
            "store_commit",
            "Time that a COMMIT takes, until it is on the disk",
            Unit::Seconds,
            commit.clone(),
        );
        let batch = Histogram::new(BATCHES);
        registry.register(
            "store_commit_writes",
            "How many writes shared a commit",
            batch.clone(),
        );
        let failures: Family<KindLabel, Counter> = super::family(
            registry,
            "store_failures",
            "Transactions that failed as a whole",
        );
        // Present from the start, so that the first failure shows up as an increase.
        for queue in QueueName::ALL {
            let kind = queue.as_str();
            drop(failures.get_or_create(&KindLabel { kind }));
        }
        Self {
            reads,
            lookups,
            writes,
            commit,
            batch,
            failures,
        }
    }

    /// Records how long a job was queued.
    pub fn waited(&self, queue: QueueName, time: Duration) {
        let histogram = match queue {
            QueueName::Read => &self.reads,
            QueueName::Lookup => &self.lookups,
            QueueName::Write => &self.writes,
        };
        histogram.observe(time.as_secs_f64());
    }

    /// Records a commit of `writes` writes that took `time`.
    pub fn committed(&self, writes: usize, time: Duration) {
        self.commit.observe(time.as_secs_f64());
        self.batch
            .observe(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    }

    /// Counts a transaction that failed as a whole, so that nothing in it was done.
    pub fn failed(&self, queue: QueueName) {
        let kind = queue.as_str();
        self.failures.get_or_create(&KindLabel { kind }).inc();
    }
}
