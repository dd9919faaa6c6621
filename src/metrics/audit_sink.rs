//! The metrics of the audit sink.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counts what is delivered. Clones share the counts; the default is not registered anywhere.
#[derive(Clone, Debug, Default)]
pub struct AuditSinkMetrics {
    rows: Counter,
    failures: Counter,
    failing: Gauge,
    backlog: Gauge,
}

impl AuditSinkMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            rows,
            failures,
            failing,
            backlog,
        } = metrics.clone();
        let help = "Audit rows that were written to the audit sink";
        registry.register("audit_sink_rows", help, rows);
        let help = "Attempts to write to the audit sink that failed";
        registry.register("audit_sink_failures", help, failures);
        let help = "Whether the audit sink takes no rows: 1 or 0";
        registry.register("audit_sink_failing", help, failing);
        let help = "Audit rows that are not yet written to the audit sink";
        registry.register("audit_sink_backlog_rows", help, backlog);
        metrics
    }

    /// Counts rows that were delivered.
    pub fn delivered(&self, rows: u64) {
        self.rows.inc_by(rows);
    }

    /// Counts a failed attempt.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Sets whether it fails, and how many rows wait.
    pub fn set(&self, is_failing: bool, backlog: i64) {
        self.failing.set(i64::from(is_failing));
        self.backlog.set(backlog);
    }
}
