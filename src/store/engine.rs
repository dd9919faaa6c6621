//! What every engine shares: callers' work as jobs, the queues of the threads that run it, and what a commit makes
//! stale in the memory of credentials.

pub(super) mod freshness;
pub(super) mod job;
pub(super) mod queue;
