//! What the engine's threads share.

use super::{
    checkpointer::Checkpointer, lock::DatabaseLock, open_reads::OpenReads, reserve::Reserve,
};
use crate::store::freshness::Freshness;

/// Must be dropped after the connections, since it releases the lock.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lock: DatabaseLock,
    pub(super) freshness: Freshness,
    pub(super) checkpointer: Checkpointer,
    pub(super) open_reads: OpenReads,
    pub(super) rerun_writes: bool,
    /// A command has none.
    pub(super) reserve: Option<Reserve>,
}
