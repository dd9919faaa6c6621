//! What the connections of one listener share.

use std::sync::Arc;

use super::memory_budget::MemoryBudget;
use crate::{
    metrics::{Bound, LoadShed},
    server::{concurrency_limit::ConcurrencyLimit, endpoints, limits::Limits},
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Arc<Limits>,
    pub(super) budget: MemoryBudget,
    /// Request bodies of anonymous callers that have not arrived completely.
    pub(super) anonymous_bodies: ConcurrencyLimit,
    /// Most bytes of a body that are kept: the largest message of any endpoint, in base64 at worst.
    pub(super) max_kept_body_bytes: usize,
    pub(super) load_shed: LoadShed,
}

impl Shared {
    pub(super) fn new(limits: Arc<Limits>, load_shed: LoadShed) -> Self {
        Self {
            budget: MemoryBudget::new(&limits),
            anonymous_bodies: ConcurrencyLimit::new(
                (load_shed.clone(), Bound::AnonymousBodies),
                limits.max_anonymous_bodies,
                limits.max_anonymous_bodies_per_network,
                limits.eviction_min_age,
            ),
            max_kept_body_bytes: endpoints::max_message_bytes(&limits).saturating_mul(4) / 3,
            load_shed,
            limits,
        }
    }
}
