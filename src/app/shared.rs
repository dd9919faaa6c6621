//! What the instances of one database have in common while they run: limits, what is not yet written, and which
//! instance runs a job.
//!
//! `SQLite` has one owner, so one process keeps all of it in memory. Where several instances serve one database, this
//! is what must be in the database instead. Everything else in [`App`](super::App) is an instance's own: caches, the
//! hashing threads and the counts for its metrics.

use crate::domain::time::Timestamp;

use super::{
    AppOptions,
    background::{FailedAuthAggregator, LastUses, Leases, PendingNetworks},
    limits::{Throttle, ThrottleLimits, TokenRate},
};

/// The state that instances share.
#[derive(Debug)]
pub struct SharedState {
    /// Counts sign-in attempts by account, address and network.
    pub(super) throttle: Throttle,
    /// Counts verifications by token.
    pub(super) token_rate: TokenRate,
    /// Uses of tokens that are not yet written.
    pub(super) last_uses: LastUses,
    /// Sign-ins from networks that are not yet written.
    pub(super) pending_networks: PendingNetworks,
    /// Refused authentications that are not yet written, and how many rows of this minute are left.
    pub(super) failed_auth: FailedAuthAggregator,
    /// Which instance runs a job.
    pub(super) leases: Leases,
}

impl SharedState {
    /// Nothing is counted yet at `now`.
    pub fn new(options: &AppOptions, now: Timestamp) -> Self {
        Self {
            throttle: Throttle::new(&ThrottleLimits::default()),
            token_rate: TokenRate::new(options.token_requests_per_minute),
            last_uses: LastUses::new(now),
            pending_networks: PendingNetworks::default(),
            failed_auth: FailedAuthAggregator::default(),
            leases: Leases::default(),
        }
    }
}
