//! Hallpass issues, lists, verifies and revokes API tokens for machines: one binary, `SQLite` inside.
//!
//! The layers, from the top:
//!
//! | layer | what it owns | what it must not know |
//! |---|---|---|
//! | `main.rs` | parse, run, exit code | everything else |
//! | [`cli`] | the commands, one file a noun. All but `serve` are clients of the RPCs, through `cli::client`; `serve` assembles the layers below | how anything is stored, who may do what |
//! | [`config`] | flags, environment variables and the settings file, turned into the options of the layers below | what the options do |
//! | [`server`] | sockets, protocols, pages. [`server::endpoints`] lists all that is served | the store |
//! | [`app`] | the use cases, each a method of [`App`](app::App); authorisation; passwords; background jobs | protocols, names of settings, database drivers |
//! | [`store`] | transactions, migrations, one file of SQL a table; the driver only below `store::sqlite` | who may do what |
//! | [`domain`] | values and their rules: identifiers, token text, scopes, lifetimes, the audit chain, time and randomness | any I/O |
//!
//! Imports go down, `main → cli → server → app → store → domain`, never up or sideways; only `main` and `cli` import
//! `config`. A test checks each `use`. [`proto`] is the code generated from `proto/`, for the server and for the
//! commands as its clients. [`metrics`] is a leaf that store, app and server count into.
//!
//! docs/architecture.md follows a request and a command through these layers.
//!
//! # Where a rule lives
//!
//! - The text of a token: [`domain::token_text`]. Which tokens are valid: [`domain::token`]. How long one may live:
//!   [`domain::lifetime`].
//! - Who may do what: [`app::authz`]. The reason that a refusal gives: [`domain::reason`].
//! - How password guessing is slowed: [`app::limits`].
//! - What several instances of one database would have to share: [`app::shared`].
//! - Sizes, timeouts and counts that a request may reach: [`server::limits`].
//! - The name, default and description of a setting: [`config`]. The policies where no server runs: `app::policies`.
//! - Which server or database a command works on: [`config::target`]. Who may call through the control socket:
//!   [`server::control_socket`].

pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod metrics;
pub mod proto;
pub mod server;
pub mod store;
