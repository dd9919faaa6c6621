//! Background jobs of the server: purging, writing refusals, last uses and known networks in batches, and logging
//! the head of the audit log.

mod audit_purge;
mod failed_auth;
mod known_networks;
pub mod last_use;
mod leases;
mod purge;
mod token_stats;

pub(super) use audit_purge::{AuditReader, AuditReaders};
pub(super) use failed_auth::FailedAuthAggregator;
pub(super) use known_networks::PendingNetworks;
pub(super) use last_use::LastUses;
pub(super) use leases::Leases;
pub(super) use purge::ClockConfirmation;
pub(super) use token_stats::TokenStats;

use std::time::Duration;

use tokio::{sync::watch, time};

use crate::{domain::audit::AuditEvent, store::audit};

use super::{App, Error};
use last_use::Flush;
use leases::Job;

const FLUSH_EVERY: Duration = Duration::from_secs(1);
const HOURLY: Duration = Duration::from_hours(1);

impl App {
    /// Runs the jobs until `stop` turns true or its sender is dropped, then writes what is still in memory.
    pub async fn run_jobs(&self, mut stop: watch::Receiver<bool>) {
        let mut ticks = time::interval(FLUSH_EVERY);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let leases = &self.0.shared.leases;
        let mut backlog = Vec::new();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = ticks.tick() => {}
            }
            self.probe_full_disk().await;
            self.report_audit_sink();
            self.flush_refusals(&mut backlog, false).await;
            log_result("last uses", self.flush_uses(Flush::Due).await);
            log_result("known networks", self.flush_networks().await);
            if let Some(_lease) = leases.take(Job::Purge, HOURLY) {
                log_result("purge", self.purge().await);
            }
            if let Some(_lease) = leases.take(Job::LogAuditHead, HOURLY) {
                log_result("audit head", self.log_audit_head().await);
            }
        }
        self.flush_refusals(&mut backlog, true).await;
        log_result("last uses", self.flush_uses(Flush::Now).await);
        log_result("known networks", self.flush_networks().await);
        self.end_audit_sink().await;
    }

    /// Tries a write if the disk was full, because only a write finds out whether there is space again.
    async fn probe_full_disk(&self) {
        if self.disk_is_full() {
            // Fails while there is none.
            drop(self.write_unanswered(|_| Ok(())).await);
        }
    }

    async fn log_audit_head(&self) -> Result<(), Error> {
        let head = self.read(|tx| Ok(audit::head(tx)?)).await?;
        tracing::info!(audit.head = %head, "head of the audit log");
        Ok(())
    }

    async fn flush_refusals(&self, backlog: &mut Vec<AuditEvent>, all: bool) {
        // While the store takes no writes, new refusals stay in the aggregator, which counts what exceeds its bounds.
        if backlog.is_empty() || all {
            backlog.extend(self.0.shared.failed_auth.take(self.now(), all));
        }
        if backlog.is_empty() {
            return;
        }
        let events = backlog.clone();
        let written = self
            .write_unanswered(move |tx| {
                for event in &events {
                    audit::append(tx, event.clone())?;
                }
                Ok(())
            })
            .await;
        match written {
            Ok(()) => backlog.clear(),
            Err(error) => log_result("refusals", Err::<(), _>(error)),
        }
    }
}

fn log_result<T>(job: &'static str, result: Result<T, Error>) {
    if let Err(error) = result {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(job, %error, source, "a job failed; it will be tried again");
    }
}

/// Waits until `stop` turns true or its sender is dropped. The result of `wait_for` holds a lock that is not `Send`,
/// so it is dropped here: held across a job, it would keep `run_jobs` from being spawned.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
