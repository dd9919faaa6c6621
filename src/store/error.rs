//! The store's errors. Their texts go into the log, so they contain no values of any row.

use std::{error::Error as StdError, sync::Arc};

/// The underlying error. Shared, since one failure can end a whole batch of writes.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// Why database work failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database is temporarily unusable, or the work was rolled back. Nothing was written, unless the store was
    /// closing or a sync failed: then the outcome is unknown.
    #[error("the database is unavailable: {kind}")]
    Unavailable {
        /// Why.
        kind: Unavailable,
        /// The engine's error.
        source: Option<Cause>,
    },
    /// The queue is full.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// A stored row does not decode. `hallpass data check` reports details.
    #[error("a stored row does not decode: its column {column} is not {expected}")]
    Row {
        /// The column's name.
        column: String,
        /// What was expected there.
        expected: &'static str,
    },
    /// The change violates a constraint of the schema, which the caller should have checked before.
    #[error("the change breaks a rule of the schema")]
    Constraint {
        /// The engine's error.
        source: Cause,
    },
    /// The engine rejected a statement: a bug in this program.
    #[error("the database refuses a statement")]
    Statement {
        /// The engine's error.
        source: Cause,
    },
    /// The work panicked, and its writes were rolled back.
    #[error("the work on the database panicked")]
    Panicked,
}

/// Why the database cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unavailable {
    /// Another connection held a lock for longer than the timeout.
    #[error("it is locked by another connection")]
    Busy,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The file or its file system is read-only.
    #[error("it is read-only")]
    ReadOnly,
    /// The disk or the file system reports errors.
    #[error("input or output fails")]
    Io,
    /// The file is damaged.
    #[error("the file is damaged")]
    Corrupt,
    /// There is not enough memory.
    #[error("memory is short")]
    Memory,
    /// A sync failed, so it is unknown whether the data is on disk.
    #[error("a sync failed")]
    SyncFailed,
    /// There is no room for a copy of the database.
    #[error("a copy of it needs {needed_bytes} bytes, and the disk has {free_bytes} free")]
    NoRoomForCopy {
        /// How much the copy needs.
        needed_bytes: u64,
        /// How much is free.
        free_bytes: u64,
    },
    /// The read was interrupted because the write-ahead log grew too much behind it.
    #[error("the read took so long that the write-ahead log grew too much behind it")]
    Interrupted,
    /// The batch of writes was rolled back, because of another write or at its commit.
    #[error("the batch of writes was undone")]
    RolledBack,
    /// The store is shutting down.
    #[error("it is closed")]
    Closed,
}

impl Error {
    /// Whether the disk was full.
    pub(super) const fn is_full_disk(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                kind: Unavailable::Full,
                ..
            }
        )
    }

    /// Whether the file is damaged.
    pub const fn is_damaged_file(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                kind: Unavailable::Corrupt,
                ..
            }
        )
    }

    /// Unavailable for a reason found by the store, not the engine.
    pub(super) const fn unavailable(kind: Unavailable) -> Self {
        Self::Unavailable { kind, source: None }
    }

    /// Whether a sync failed.
    pub(super) const fn is_failed_sync(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                kind: Unavailable::SyncFailed,
                ..
            }
        )
    }
}
