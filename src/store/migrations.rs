//! The schema's history. Append only: a shipped migration is never edited.

use super::{error::Error, meta, tx::Tx};

/// One step of the schema.
#[derive(Debug)]
pub(super) struct Migration {
    /// The statements.
    pub(super) sql: &'static str,
    /// What only the program can add, in the same transaction.
    pub(super) finish: fn(&Tx<'_>) -> Result<(), Error>,
}

/// All steps in order; a file's schema is how many of them it has had.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        sql: include_str!("migrations/0001_first.sql"),
        finish: meta::create_page_key,
    },
    Migration {
        sql: include_str!("migrations/0002_verification.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0003_live_and_ended.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0004_undo_rotation.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0005_known_networks.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0006_audit_rows.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0007_last_use_reporter.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0008_disabled_by.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0009_audit_successors.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0010_searches.sql"),
        finish: |_| Ok(()),
    },
    Migration {
        sql: include_str!("migrations/0011_expiring.sql"),
        finish: |_| Ok(()),
    },
];
