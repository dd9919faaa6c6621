//! Which instance runs a job, where one of them runs it for all.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A job that one instance runs for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    Purge,
    LogAuditHead,
}

/// When each job is due, and whether it is running.
#[derive(Debug, Default)]
pub(in crate::app) struct Leases(Mutex<BTreeMap<Job, Schedule>>);

#[derive(Debug, Default)]
struct Schedule {
    is_running: bool,
    /// `None`: now.
    next: Option<Instant>,
}

/// The right to run a job until this is dropped.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    leases: &'a Leases,
    job: Job,
}

impl Leases {
    /// The lease of `job` if it is due and not running. It is due again after `period`.
    pub(super) fn take(&self, job: Job, period: Duration) -> Option<Lease<'_>> {
        let mut jobs = self.lock();
        let schedule = jobs.entry(job).or_default();
        let now = Instant::now();
        if schedule.is_running || schedule.next.is_some_and(|next| now < next) {
            return None;
        }
        *schedule = Schedule {
            is_running: true,
            next: Some(now + period),
        };
        Some(Lease { leases: self, job })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Job, Schedule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.leases.lock().entry(self.job).or_default().is_running = false;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn a_job_runs_once_a_period_and_never_twice_at_a_time() {
        let leases = Leases::default();
        let first = leases.take(Job::Purge, HOUR);
        assert!(first.is_some());
        assert!(leases.take(Job::Purge, HOUR).is_none(), "it is running");
        assert!(leases.take(Job::LogAuditHead, HOUR).is_some());
        time::advance(HOUR).await;
        assert!(leases.take(Job::Purge, HOUR).is_none(), "it still is");
        drop(first);
        let second = leases.take(Job::Purge, HOUR);
        assert!(second.is_some());
        drop(second);
        time::advance(Duration::from_secs(3_599)).await;
        assert!(leases.take(Job::Purge, HOUR).is_none(), "it is not due");
        time::advance(Duration::from_secs(1)).await;
        assert!(leases.take(Job::Purge, HOUR).is_some());
    }
}
