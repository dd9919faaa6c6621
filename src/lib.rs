//! Hallpass issues, lists and revokes API tokens for machines: one binary, `SQLite` inside.
//!
//! This page is the map of the codebase. Who has read it finds any room.
//!
//! # The floors
//!
//! | floor | what it owns | what it must not know |
//! |---|---|---|
//! | `main.rs` | parse, run, exit code | everything else |
//! | [`cli`] | the commands, a file a noun: clients of the RPCs, by `cli::client`; `serve` puts the floors below together | how anything is stored, who may do what |
//! | [`config`] | flags and environment become the options of the floors below; only `main` and `cli` import it | what the options do |
//! | [`server`] | sockets, protocols, pages: `listener`, [`control_socket`](server::control_socket), `request_context`, `cors`, `edge`, `auth`, `rpc`, `web`; the one list of what is served is [`server::endpoints`] | the store |
//! | [`app`] | the use cases, a method of [`App`](app::App) each; who may do what ([`app::authz`]); passwords; jobs | protocols, settings' names, drivers |
//! | [`store`] | transactions, one file of SQL a table, migrations; `SQLite` below `store::sqlite` alone | who may do what |
//! | [`domain`] | the words and their rules: identifiers, token text, scopes, networks, lifetimes, pages, the audit chain, time and randomness | any I/O |
//!
//! An import goes down, never up or across: `main → cli → server → app → store → domain`; a test walks all
//! `use` lines. [`proto`] is the code generated from `proto/`, for the server and for the commands as
//! its clients: what a client sees is made in `server::rpc`, from domain types. [`metrics`] is a leaf that store, app and server count into.
//!
//! # The way of a request
//!
//! ```text
//! socket
//!  └ server::listener     bounds on time, size and number; HTTP/1.1 and HTTP/2
//!     └ server::request_context   request ID, client address; at the end the line in the access log
//!        └ server::cors   which pages may call
//!           └ server::edge::classify      procedure, protocol, codec; else a page or gRPC's own services
//!              └ server::auth             the caller, from memory or the store, before the body is read
//!                 └ server::edge::read    one message, bounded, decompressed, JSON made protobuf
//!                    └ server::rpc        the caller once more, decode, call a use case, encode
//!                       └ app::…          may(caller, action, target)? fields, state, quota
//!                          └ store::Db    a reader thread, or the writer's next batch
//!                             └ store::tokens, users, audit   SQL, one transaction, its audit row in it
//! ```
//!
//! On the way back, `server::error` turns an [`app::Error`] into code, reason and details, and
//! `server::edge::encode` writes reply or error as the caller's protocol has it. A write is answered when it
//! is on the disk: the writer commits all that waits together, then tells each.
//!
//! # The way of a command
//!
//! ```text
//! cli::token, user, …      the arguments become a request; the reply becomes a table, or ProtoJSON
//!  └ cli::client           what it works on (config::target), and the stream there:
//!     ├ HTTP or HTTPS      to a server anywhere, with a token
//!     ├ control socket     to the server that owns the database; the kernel tells the server who calls
//!     └ pipe in memory     to server::embedded in this process, which owns the database meanwhile
//! ```
//!
//! At the other end, the way of a request is the same for all three. By socket and pipe the caller is
//! `local:UID`, who may do anything.
//!
//! # Where a rule lives
//!
//! - What a token's text looks like: [`domain::token_text`]. What makes a token valid: [`domain::token`].
//! - How long a token may live: [`domain::lifetime`].
//! - Who may do what: the table in [`app::authz`]. What a refusal is called: [`domain::reason`].
//! - What a bound is: [`server::limits`]. What a setting is called: [`config`]. Which policies hold where no server
//!   runs: `app::policies`.
//! - Which server or database a command works on: [`config::target`]. Who may call by the control socket:
//!   [`server::control_socket`].
//! - How guessing is slowed: [`app::passwords`].

pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod metrics;
pub mod proto;
pub mod server;
pub mod store;
