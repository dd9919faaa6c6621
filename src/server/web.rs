//! What is not a remote procedure call: the probes and the page at `/`.
//!
//! Each file here is a piece of the route table, a [`Router`](axum::Router) of its own. None knows the
//! store or the procedures in `server/rpc`: what a piece needs is handed to it.

pub mod health;
pub mod static_files;
