//! The memory that requests in flight may hold, over all connections: heads, bodies, large replies.
//!
//! Each connection has a small allowance of its own, so that whoever gets a connection gets an answer, however
//! much others hold. Beyond it the connection draws on one budget. Part of that is kept for connections on which
//! somebody was authenticated.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::limits::Limits;

/// A permit of the semaphore stands for so many bytes.
const UNIT_BYTES: usize = 1024;

/// A request costs as much beside its bytes: its task, its stream, its maps.
pub(super) const REQUEST_BYTES: usize = 4 * 1024;

/// What all connections draw on.
#[derive(Debug)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    kept_for_authenticated: usize,
    allowance_bytes: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        // Whoever allows large bodies wants them to come in.
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

/// What one connection holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: usize,
    /// What it has drawn from the budget.
    drawn: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Holds more, if there is room. Only what lies beyond the connection's allowance touches the budget, which
    /// all share.
    pub(super) fn add(&mut self, bytes: usize, budget: &Budget, is_authenticated: bool) -> bool {
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

    /// Gives back what [`Held::add`] took.
    pub(super) fn remove(&mut self, bytes: usize, budget: &Budget) {
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

    fn budget() -> Budget {
        Budget::new(&Limits {
            connection_memory_bytes: 16 * 1024,
            anonymous_memory_bytes: 1024 * 1024,
            authenticated_memory_bytes: 1024 * 1024,
            ..Limits::default()
        })
    }

    #[test]
    fn each_connection_has_its_allowance_whatever_the_others_hold() {
        let budget = budget();
        let mut greedy = Held::default();
        let mut steps = 0;
        while greedy.add(64 * 1024, &budget, false) {
            steps += 1;
        }
        assert_eq!(steps, 16, "its allowance lies within the last step");
        let mut small = Held::default();
        assert!(small.add(16 * 1024, &budget, false));
        assert!(!small.add(64 * 1024, &budget, false), "no more than that");
        greedy.remove(64 * 1024, &budget);
        assert!(small.add(48 * 1024, &budget, false));
    }

    #[test]
    fn whoever_is_authenticated_has_room_when_the_anonymous_have_none() {
        let budget = budget();
        let (mut anonymous, mut known) = (Held::default(), Held::default());
        while anonymous.add(1024, &budget, false) {}
        assert!(known.add(512 * 1024, &budget, true));
        known.remove(512 * 1024, &budget);
        assert_eq!(known.drawn(), 0);
        assert!(!anonymous.add(1024, &budget, false), "it was kept for them");
    }
}
