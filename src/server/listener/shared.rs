//! What the connections of a listener have in common, so that one cannot take what is there for all.

use std::sync::Arc;

use super::budget::Budget;
use crate::{
    metrics::{Bound, LoadShed},
    server::{concurrency_limit::ConcurrencyLimit, endpoints, limits::Limits},
};

/// Their bounds.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Arc<Limits>,
    pub(super) budget: Budget,
    /// Bodies on their way of callers who have shown no credential.
    pub(super) anonymous_bodies: ConcurrencyLimit,
    /// The most that is kept of a body: the largest message of any endpoint, in base64 where it comes to the worst.
    pub(super) most_of_a_body: usize,
    pub(super) load_shed: LoadShed,
}

impl Shared {
    pub(super) fn new(limits: Arc<Limits>, load_shed: LoadShed) -> Self {
        Self {
            budget: Budget::new(&limits),
            anonymous_bodies: ConcurrencyLimit::new(
                (load_shed.clone(), Bound::AnonymousBodies),
                limits.max_anonymous_bodies,
                limits.max_anonymous_bodies_per_network,
                limits.eviction_min_age,
            ),
            most_of_a_body: endpoints::max_message_bytes(&limits).saturating_mul(4) / 3,
            load_shed,
            limits,
        }
    }
}
