//! Hallpass issues, lists and revokes API tokens for machines: one binary, `SQLite` inside.

pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod proto;
pub mod server;
pub mod store;
