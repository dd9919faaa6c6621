//! The database. A write is durable before its caller gets an answer.
//!
//! [`Db`] runs each piece of work in a transaction, a [`Tx`]. There is one file of SQL per table ([`users`],
//! [`tokens`], [`known_networks`], [`audit`], [`meta`]), which maps rows to domain types and knows no engine. The
//! engine is `sqlite/`: reader threads, a thread for credential lookups, a single writer thread, and the checks at
//! start.
//!
//! The store does not know permissions, requests or the current time: callers pass in what it needs.

pub mod audit;
pub mod audit_search;
pub mod known_networks;
pub mod meta;
pub mod tokens;
pub mod users;

mod conditions;
mod db;
mod engine;
mod error;
mod migrations;
mod open;
mod row;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;
mod tx;

pub use db::Db;
pub use engine::freshness::Stamp;
pub use error::{Cause, Error, Unavailable};
pub use open::{
    EngineOptions, Fatal, LockHolder, MigrationStep, OpenAs, OpenError, SchemaChange, StoreOptions,
    file_type_name,
};
pub use sqlite::{
    Backup, Ended, Inspection, NewerRevocations, Restore, RestoreError, Restored, SqliteOpenError,
    SqliteOptions, inspect, locate, migrate, pending_migrations,
};
pub use tx::Tx;
