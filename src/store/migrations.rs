//! All schema migrations. Append-only: a released migration is never edited.

use super::{error::Error, meta, tx::Tx};

/// A schema migration.
#[derive(Debug)]
pub(super) struct Migration {
    /// The SQL statements.
    pub(super) sql: &'static str,
    /// What SQL cannot do, run in the same transaction.
    pub(super) finish: fn(&Tx<'_>) -> Result<(), Error>,
}

/// All migrations in order. A file's schema version is how many of them it has.
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
    Migration {
        sql: include_str!("migrations/0012_revoked_listed.sql"),
        finish: |_| Ok(()),
    },
];
