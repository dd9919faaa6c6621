//! Unit tests of the tables and of what the handle guarantees.

mod audit_search;
mod db;
mod freshness;
pub(crate) mod samples;
mod token_search;
mod tokens;
mod users;
