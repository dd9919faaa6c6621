//! Hallpass's own metrics. A leaf module: store, app and server count into it, and it knows none of them.
//!
//! Label values come from fixed lists only (procedures, protocols, codes, reasons, states), never from an ID, name,
//! address or path that a client sent, so that clients cannot create new time series.

mod audit_sink;
mod exposition;
mod load_shed;
mod requests;
mod store;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

pub use audit_sink::AuditSinkMetrics;
pub use exposition::Format;
pub use load_shed::{Bound, LoadShed, ShedAction};
pub use requests::Request;
pub use store::{QueueName, StoreMetrics};

use requests::Requests;

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The state of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Numbers of tokens by state. Each token is in exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Neither deleted, expired nor disabled.
    pub active: u64,
    /// Disabled, but neither deleted nor expired.
    pub disabled: u64,
    /// Expired, but not deleted.
    pub expired: u64,
    /// Deleted, but not yet purged. Searches do not count these.
    pub deleted: u64,
}

impl TokenCounts {
    /// The sum of both.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            active: self.active + more.active,
            disabled: self.disabled + more.disabled,
            expired: self.expired + more.expired,
            deleted: self.deleted + more.deleted,
        }
    }
}

/// All metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    requests: Requests,
    verifications: Family<ResultLabel, Counter>,
    authentications: Family<ResultLabel, Counter>,
    sign_ins: Family<ResultLabel, Counter>,
    tokens: Family<StateLabel, Gauge>,
    log_lines_dropped: Counter,
    /// Empty where the server does not speak TLS, so that nothing is served.
    certificate_expiry: Family<[(&'static str, &'static str); 0], Gauge>,
    load_shed: LoadShed,
    audit_sink: AuditSinkMetrics,
    store: StoreMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hallpass");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", version);
        let log_lines_dropped = Counter::default();
        registry.register(
            "log_lines_dropped",
            "Lines of the log that nobody read in time",
            log_lines_dropped.clone(),
        );
        let inner = Inner {
            log_lines_dropped,
            requests: Requests::register(&mut registry),
            verifications: family(
                &mut registry,
                "verifications",
                "Tokens that others asked about, by what they were told",
            ),
            authentications: family(
                &mut registry,
                "authentications",
                "Tokens that callers showed, by what came of it",
            ),
            sign_ins: family(
                &mut registry,
                "sign_ins",
                "Passwords that were tried, by what came of it",
            ),
            tokens: family(
                &mut registry,
                "tokens",
                "Stored tokens by state, counted now and then",
            ),
            certificate_expiry: family(
                &mut registry,
                "tls_certificate_expiry_timestamp_seconds",
                "When the TLS certificate in use expires, in seconds since 1970",
            ),
            load_shed: LoadShed::register(&mut registry),
            audit_sink: AuditSinkMetrics::register(&mut registry),
            store: StoreMetrics::register(&mut registry),
            registry: Mutex::new(registry),
        };
        Self(Arc::new(inner))
    }
}

/// Creates a family and registers it in `registry`.
fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    Family<L, M>: prometheus_client::registry::Metric + Clone + Default,
{
    let family = Family::<L, M>::default();
    registry.register(name, help, family.clone());
    family
}

impl Metrics {
    /// Counts a request and how long its reply took.
    pub fn request(&self, request: Request, time: Duration) {
        self.0.requests.count(request, time);
    }

    /// Counts a verification by its result: `valid`, or the name of a reason.
    pub fn verification(&self, result: &'static str) {
        count(&self.0.verifications, result);
    }

    /// Counts an authentication by token, by its result: `ok`, or the name of a reason.
    pub fn authentication(&self, result: &'static str) {
        count(&self.0.authentications, result);
    }

    /// Counts a sign-in by its result: `ok`, or the name of a reason.
    pub fn sign_in(&self, result: &'static str) {
        count(&self.0.sign_ins, result);
    }

    /// Sets the number of stored tokens.
    pub fn tokens(&self, counts: TokenCounts) {
        for (state, count) in [
            ("active", counts.active),
            ("disabled", counts.disabled),
            ("expired", counts.expired),
            ("deleted", counts.deleted),
        ] {
            let gauge = self.0.tokens.get_or_create(&StateLabel { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets when the TLS certificate in use expires, in seconds since 1970.
    pub fn certificate_expiry(&self, unix_secs: i64) {
        self.0.certificate_expiry.get_or_create(&[]).set(unix_secs);
    }

    /// Counts dropped log lines.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.0.log_lines_dropped.inc_by(lines);
    }

    /// The metrics of the server's limits.
    pub fn load_shed(&self) -> LoadShed {
        self.0.load_shed.clone()
    }

    /// The metrics of the audit sink.
    pub fn audit_sink(&self) -> AuditSinkMetrics {
        self.0.audit_sink.clone()
    }

    /// The metrics of the store.
    pub fn store(&self) -> StoreMetrics {
        self.0.store.clone()
    }

    /// Encodes all metrics as text.
    pub fn encode(&self, format: Format) -> String {
        // Encoding only reads the registry, so a poisoned lock still holds a valid one.
        let registry = self
            .0
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exposition::encode(&registry, format)
    }
}

fn count(family: &Family<ResultLabel, Counter>, result: &'static str) {
    family.get_or_create(&ResultLabel { result }).inc();
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
