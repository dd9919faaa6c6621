//! The command line as people and scripts use it: the real binary in a temporary folder, by itself and as a client
//! of a running server.

mod audit;
mod audit_export;
pub(crate) mod audit_sink;
mod backup;
mod bench;
mod bootstrap_token;
mod bulk;
mod completions;
mod confirmations;
mod control_socket;
mod environment;
mod hints;
mod json_shapes;
mod log;
mod log_lines;
mod login;
mod newer_revocations;
mod nouns;
mod refusals;
mod restore;
pub(crate) mod sandbox;
mod serve;
mod settings;
mod status;
mod tables;
mod terminal;
mod tokens;
mod transitions;
mod unseen_secrets;
mod usage;
