//! All schema migrations. Append-only: a released migration is never edited.

use super::{error::Error, meta, tx::Tx};

/// A schema migration.
#[derive(Debug)]
pub(super) struct Migration {
    /// What it is for, for people.
    pub(super) name: &'static str,
    /// The SQL statements.
    pub(super) sql: &'static str,
    /// What SQL cannot do, run in the same transaction.
    pub(super) finish: fn(&Tx<'_>) -> Result<(), Error>,
}

const fn sql(name: &'static str, sql: &'static str) -> Migration {
    Migration {
        name,
        sql,
        finish: |_| Ok(()),
    }
}

/// All migrations in order. A file's schema version is how many of them it has.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "users, tokens and the audit log",
        sql: include_str!("migrations/0001_first.sql"),
        finish: meta::create_page_key,
    },
    sql(
        "last uses and rotations of tokens",
        include_str!("migrations/0002_verification.sql"),
    ),
    sql(
        "indices of live tokens and active users",
        include_str!("migrations/0003_live_and_ended.sql"),
    ),
    sql(
        "what undoing a rotation needs",
        include_str!("migrations/0004_undo_rotation.sql"),
    ),
    sql(
        "networks that people sign in from",
        include_str!("migrations/0005_known_networks.sql"),
    ),
    sql(
        "the kind of credential in audit rows",
        include_str!("migrations/0006_audit_rows.sql"),
    ),
    sql(
        "who reported a use",
        include_str!("migrations/0007_last_use_reporter.sql"),
    ),
    sql(
        "who disabled a token",
        include_str!("migrations/0008_disabled_by.sql"),
    ),
    sql(
        "successors of rotated tokens in audit rows",
        include_str!("migrations/0009_audit_successors.sql"),
    ),
    sql(
        "indices to search the audit log",
        include_str!("migrations/0010_searches.sql"),
    ),
    sql(
        "the index of tokens that expire soon",
        include_str!("migrations/0011_expiring.sql"),
    ),
    sql(
        "the index of revoked tokens",
        include_str!("migrations/0012_revoked_listed.sql"),
    ),
];
