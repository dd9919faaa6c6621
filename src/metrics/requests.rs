//! The number and duration of requests.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper bounds in seconds. Most requests are below the first; the last is the default of `--handler-timeout`, so
/// none takes longer.
const BUCKETS_SECS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// A request by procedure and result. All values come from fixed lists.
#[derive(Clone, Debug, PartialEq, Eq, EncodeLabelSet)]
pub struct Request {
    /// A procedure as `package.Service/Method`, a web route such as `/forward-auth`, or `other`.
    pub procedure: Cow<'static, str>,
    /// `connect`, `grpc`, … or `http`.
    pub protocol: &'static str,
    /// `ok` or the error's code; for a web route, the HTTP status.
    pub code: Cow<'static, str>,
}

/// Hashes the procedure only, since this runs on every request: few series share a procedure.
impl Hash for Request {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.procedure.as_bytes());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProcedureLabel {
    procedure: Cow<'static, str>,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_SECS)
}

#[derive(Debug)]
pub(super) struct Requests {
    count: Family<Request, Counter>,
    duration: Family<ProcedureLabel, Histogram, fn() -> Histogram>,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let count = Family::default();
        registry.register(
            "requests",
            "Requests by procedure, protocol and code",
            Family::clone(&count),
        );
        let duration = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its reply's head",
            Unit::Seconds,
            duration.clone(),
        );
        Self { count, duration }
    }

    pub(super) fn count(&self, request: Request, time: Duration) {
        let procedure = ProcedureLabel {
            procedure: request.procedure.clone(),
        };
        self.count.get_or_create(&request).inc();
        let histogram = self.duration.get_or_create(&procedure);
        histogram.observe(time.as_secs_f64());
    }
}
