//! Memory budget for requests in flight, over all connections: heads, bodies, large replies.
//!
//! Each connection has a small allowance of its own, so that every connection can be answered, however much others
//! use. Beyond that it draws on a shared budget, part of which is kept for connections that have authenticated.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    metrics::{Bound, LoadShed},
    server::{anonymous::AnonymousLimit, endpoints, limits::Limits},
};

/// Bytes per semaphore permit.
const UNIT_BYTES: usize = 1024;

/// Overhead of a request beside its bytes: its task, its stream, its maps.
pub(super) const REQUEST_BYTES: usize = 4 * 1024;

/// The budget that all connections share.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    free: Arc<Semaphore>,
    kept_for_authenticated: usize,
    allowance_bytes: usize,
}

impl MemoryBudget {
    pub(super) fn new(limits: &Limits) -> Self {
        // A server that allows large bodies must be able to receive a few of them.
        let anonymous = limits.anonymous_memory_bytes.max(limits.max_body_bytes * 4);
        let kept = limits
            .authenticated_memory_bytes
            .max(limits.max_body_bytes * 4)
            / UNIT_BYTES;
        let all = (anonymous / UNIT_BYTES + kept).min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(all)),
            kept_for_authenticated: kept,
            allowance_bytes: limits.connection_memory_bytes,
        }
    }
}

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Arc<Limits>,
    pub(super) budget: MemoryBudget,
    /// Request bodies of anonymous callers that have not arrived completely.
    pub(super) anonymous_bodies: AnonymousLimit,
    /// Most bytes of a body that are kept: the largest message of any endpoint, in base64 at worst.
    pub(super) max_kept_body_bytes: usize,
    pub(super) load_shed: LoadShed,
}

impl Shared {
    pub(super) fn new(limits: Arc<Limits>, load_shed: LoadShed) -> Self {
        Self {
            budget: MemoryBudget::new(&limits),
            anonymous_bodies: AnonymousLimit::new(
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

/// Memory reserved by one connection.
#[derive(Debug, Default)]
pub(super) struct MemoryReservation {
    bytes: usize,
    /// The part drawn from the shared budget.
    drawn: Option<OwnedSemaphorePermit>,
}

impl MemoryReservation {
    /// Reserves `bytes` more, if the budget allows. Only what exceeds the connection's allowance touches the shared
    /// budget.
    pub(super) fn try_grow(
        &mut self,
        bytes: usize,
        budget: &MemoryBudget,
        is_authenticated: bool,
    ) -> bool {
        let total = self.bytes + bytes;
        let wanted = total
            .saturating_sub(budget.allowance_bytes)
            .div_ceil(UNIT_BYTES);
        let more = wanted.saturating_sub(self.drawn());
        if more > 0 {
            let kept = if is_authenticated {
                0
            } else {
                budget.kept_for_authenticated
            };
            if budget.free.available_permits() < more + kept {
                return false;
            }
            let Ok(more) = u32::try_from(more) else {
                return false;
            };
            let Ok(permit) = Arc::clone(&budget.free).try_acquire_many_owned(more) else {
                return false;
            };
            match &mut self.drawn {
                Some(drawn) => drawn.merge(permit),
                None => self.drawn = Some(permit),
            }
        }
        self.bytes = total;
        true
    }

    /// Releases what [`MemoryReservation::try_grow`] reserved.
    pub(super) fn shrink(&mut self, bytes: usize, budget: &MemoryBudget) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let wanted = self
            .bytes
            .saturating_sub(budget.allowance_bytes)
            .div_ceil(UNIT_BYTES);
        if wanted == 0 {
            self.drawn = None;
        } else if let Some(drawn) = &mut self.drawn {
            drop(drawn.split(drawn.num_permits().saturating_sub(wanted)));
        }
    }

    fn drawn(&self) -> usize {
        self.drawn
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> MemoryBudget {
        MemoryBudget::new(&Limits {
            connection_memory_bytes: 16 * 1024,
            anonymous_memory_bytes: 1024 * 1024,
            authenticated_memory_bytes: 1024 * 1024,
            ..Limits::default()
        })
    }

    #[test]
    fn each_connection_has_its_allowance_whatever_others_use() {
        let budget = budget();
        let mut greedy = MemoryReservation::default();
        let mut steps = 0;
        while greedy.try_grow(64 * 1024, &budget, false) {
            steps += 1;
        }
        assert_eq!(steps, 16, "its allowance lies within the last step");
        let mut small = MemoryReservation::default();
        assert!(small.try_grow(16 * 1024, &budget, false));
        assert!(
            !small.try_grow(64 * 1024, &budget, false),
            "the budget is exhausted"
        );
        greedy.shrink(64 * 1024, &budget);
        assert!(small.try_grow(48 * 1024, &budget, false));
    }

    #[test]
    fn authenticated_connections_have_memory_when_anonymous_ones_have_none() {
        let budget = budget();
        let (mut anonymous, mut known) =
            (MemoryReservation::default(), MemoryReservation::default());
        while anonymous.try_grow(1024, &budget, false) {}
        assert!(known.try_grow(512 * 1024, &budget, true));
        known.shrink(512 * 1024, &budget);
        assert_eq!(known.drawn(), 0);
        assert!(
            !anonymous.try_grow(1024, &budget, false),
            "that part is kept for authenticated ones"
        );
    }
}
