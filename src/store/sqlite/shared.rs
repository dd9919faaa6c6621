//! What the threads share.

use super::{checkpointer::Checkpointer, open_reads::OpenReads, owner::Owner, reserve::Reserve};
use crate::store::freshness::Freshness;

/// Whoever has a connection lets go of this after it: the lock goes with it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) owner: Owner,
    pub(super) freshness: Freshness,
    pub(super) checkpointer: Checkpointer,
    pub(super) open_reads: OpenReads,
    /// A command has none.
    pub(super) reserve: Option<Reserve>,
}
