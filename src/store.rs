//! The database: what is kept, and the promise that an answered write is durable.
//!
//! [`Db`] runs pieces of work, each in a transaction that it is handed as a [`Tx`]. The SQL stands in one
//! file a table ([`users`], [`tokens`], [`known_networks`], [`audit`], [`meta`]) and maps rows to domain types; those files know
//! no engine. The engine is `sqlite/`: reader threads, one thread for lookups of credentials, one writer
//! thread, the refusals at the start.
//!
//! It must not know who may do what, what a request is, or what time it is: all that is handed in.

pub mod audit;
pub mod known_networks;
pub mod meta;
pub mod tokens;
pub mod users;

mod conditions;
mod db;
mod error;
mod freshness;
mod job;
mod keyset;
mod migrations;
mod open;
#[cfg(test)]
pub(crate) mod samples;
mod sqlite;
mod tx;
mod value;

pub use db::Db;
pub use error::{Cause, Error, Unavailable};
pub use freshness::Stamp;
pub use open::{Fatal, Holder, OpenAs, OpenError, StoreOptions, kind};
pub use sqlite::check_place;
pub use tx::Tx;
