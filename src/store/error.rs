//! Why work on the database failed. The texts are for the log: they hold no value of any row.

use std::{error::Error as StdError, sync::Arc};

/// What lies beneath an error: shared, since one failure can end a whole batch of writes.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// Why work on the database failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be used at the moment, or the work was undone. Nothing was written, but where the
    /// store closed or a sync failed: then that is not known.
    #[error("the database is unavailable: {kind}")]
    Unavailable {
        /// Why.
        kind: Unavailable,
        /// What the engine said.
        source: Option<Cause>,
    },
    /// Too much work waits already.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// A stored row is not what this program writes. `hallpass data check` tells more.
    #[error("a stored row does not decode: its column {column} is not {expected}")]
    Row {
        /// The column's name.
        column: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The change breaks a rule of the schema; its caller should have looked first.
    #[error("the change breaks a rule of the schema")]
    Constraint {
        /// What the engine said.
        source: Cause,
    },
    /// The engine does not take a statement: a mistake in this program.
    #[error("the database refuses a statement")]
    Statement {
        /// What the engine said.
        source: Cause,
    },
    /// The work panicked; what it had written was undone.
    #[error("the work on the database panicked")]
    Panicked,
}

/// Why the database cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unavailable {
    /// Another connection holds a lock for longer than the timeout.
    #[error("it is locked by another connection")]
    Busy,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The file or its file system is read-only.
    #[error("it is read-only")]
    ReadOnly,
    /// The disk or the file system fails.
    #[error("input or output fails")]
    Io,
    /// The file is damaged.
    #[error("the file is damaged")]
    Corrupt,
    /// There is not enough memory.
    #[error("memory is short")]
    Memory,
    /// The disk did not take what it was to make safe: whether that is there is not known.
    #[error("a sync failed")]
    SyncFailed,
    /// The read was ended: the log grew too much behind it.
    #[error("the read took so long that the write-ahead log grew too much behind it")]
    Interrupted,
    /// The batch of writes was undone, through another write or at its commit.
    #[error("the batch of writes was undone")]
    RolledBack,
    /// The store is shutting down.
    #[error("it is closed")]
    Closed,
}

impl Error {
    /// Whether there was no room on the disk.
    pub(super) const fn is_full_disk(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                kind: Unavailable::Full,
                ..
            }
        )
    }

    /// Unavailable for a reason that the engine did not tell.
    pub(super) const fn unavailable(kind: Unavailable) -> Self {
        Self::Unavailable { kind, source: None }
    }

    /// Whether it is a sync that failed.
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
