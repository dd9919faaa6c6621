//! The one integration-test binary: a real server, a real store, real sockets; only the clock is fake.
//!
//! `test_app` starts the server and `client` calls it over every wire. Every other module is a topic, whose tests
//! are named for what they guarantee.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails there"
)]

mod aliases;
mod attenuation;
mod audit_chain;
mod audit_follow;
mod audit_log;
mod audit_refusals;
mod audit_retention;
mod audit_search;
mod audit_stream;
mod backup;
mod bulk_revoke;
mod check_order;
mod cli;
mod client;
mod codebase;
mod control_socket;
mod cors;
mod create_token;
mod delete_token;
mod docs;
mod durability;
mod ended_tokens;
mod envoy;
mod expiry;
mod explain;
mod floods;
mod forward_auth;
mod forward_auth_credentials;
mod get_token;
mod hidden_ids;
mod hostile;
mod imports;
mod instances;
mod introspection;
mod last_used;
mod lineage;
mod list_all;
mod list_tokens;
mod listen;
mod matrix;
mod metrics;
mod migrations;
mod model;
mod mutations;
mod networks;
mod oauth_metadata;
mod page_tokens;
mod passwords;
mod pasted_tokens;
mod policies;
mod purge;

mod reuse;
mod revocation;
mod revoke;
mod revoke_leaked;
mod rotate;
mod scan;
mod scopes;
mod secrets;
mod session;
mod stale_callers;
mod state_machine;
mod store;
mod strict;
mod test_app;
mod throttle;
mod tls;
mod undo_rotation;
mod update;
mod use_cases;
mod user_permissions;
mod users;
mod verify;
mod web;
mod wires;
mod withheld_bodies;
