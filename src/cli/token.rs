//! `hallpass token`: making, listing, showing, changing, explaining and ending tokens, and reading a token's text.

mod create;
mod expiry;
mod explain;
mod inspect;
mod list;
mod revoke;
mod rotate;
mod selection;
mod update;

use clap::{Args, Subcommand};

use crate::{
    app::AppOptions,
    config::store::StoreArgs,
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
        token::{Token, TokenState},
    },
};

use super::{
    answer::{Answer, TokenAnswer},
    failure::Failure,
    local_app::LocalApp,
    output::{self, OutputArgs},
    relative_time,
};

/// `hallpass token …`.
#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Create a token, and print its plaintext: the one time that it is shown.
    Create(Box<create::Create>),
    /// List a user's live tokens, or with --all the tokens of all users.
    List(list::List),
    /// Show a token.
    Get(Named),
    /// Put a successor in a token's place, and print its plaintext: the one time that it is shown.
    Rotate(rotate::Rotate),
    /// Change a token's note, or narrow its scopes and networks.
    Update(update::Update),
    /// Disable a token: it is kept and listed, but not accepted.
    Disable(Named),
    /// Enable a token that was disabled.
    Enable(Named),
    /// Tell why a token is valid or not, where it comes from, and what will end it.
    Explain(explain::Explain),
    /// Delete a token, and those that were made with it. No check that starts later accepts them.
    Delete(Named),
    /// Revoke many tokens at once, and those that were made with them. A dry run first tells how many.
    Revoke(revoke::Revoke),
    /// Read a plaintext from stdin, offline: is it of the form, and what is its ID?
    Inspect(inspect::Inspect),
}

/// Commands that need no more than a token.
#[derive(Args, Debug)]
pub(super) struct Named {
    /// The token's ID; `token inspect` tells it of a plaintext.
    #[arg(value_name = "TOKEN_ID")]
    id: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs `hallpass token …`.
pub(super) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create::run(*args),
        TokenCommand::List(args) => list::run(&args),
        TokenCommand::Get(args) => get(&args),
        TokenCommand::Rotate(args) => rotate::run(args),
        TokenCommand::Update(args) => update::run(args),
        TokenCommand::Disable(args) => update::disable(args, true),
        TokenCommand::Enable(args) => update::disable(args, false),
        TokenCommand::Explain(args) => explain::run(&args),
        TokenCommand::Delete(args) => delete(&args),
        TokenCommand::Revoke(args) => revoke::run(&args),
        TokenCommand::Inspect(args) => inspect::run(&args),
    }
}

fn get(args: &Named) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let token = local.run(async |app, caller| app.get_token(caller, &args.id).await)?;
    if args.output.json {
        return Ok(output::json(&Answer("token", TokenAnswer::from(&token)))?);
    }
    let now = SystemClock.now();
    let parent = token.parent_id.map(|id| id.to_string()).unwrap_or_default();
    let successor = token.successor_id.map(|id| id.to_string());
    let successor = successor.unwrap_or_default();
    Ok(output::fields([
        ("ID", token.id.to_string()),
        ("User", token.user_id.to_string()),
        ("Created", relative_time::show(token.create_time, now)),
        (
            "Expires",
            relative_time::show_expiry(token.expire_time, now),
        ),
        ("Last used", last_used(&token, now)),
        ("State", state(&token).to_owned()),
        ("Scopes", or_dash(token.scopes.to_string())),
        ("Networks", or_dash(token.allowed_cidrs.to_string())),
        ("Parent", or_dash(parent)),
        ("Successor", or_dash(successor)),
        ("Note", token.note.as_str().to_owned()),
    ])?)
}

fn delete(args: &Named) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let children = local.run(async |app, caller| app.delete_token(caller, &args.id).await)?;
    if args.output.json {
        output::json(&Answer("deletedChildren", children))?;
    } else {
        let id = &args.id;
        output::line(&format!(
            "deleted {id}; tokens made with it, deleted too: {children}"
        ))?;
    }
    Ok(())
}

fn state(token: &Token) -> &'static str {
    match token.state(SystemClock.now()) {
        Some(TokenState::Live) if token.successor_id.is_some() => "rotated",
        state => state.map_or("deleted", TokenState::as_str),
    }
}

/// As far as the server has written it down: a use is on the disk within a minute.
fn last_used(token: &Token, now: Timestamp) -> String {
    let Some(last) = token.last_use else {
        return "never".to_owned();
    };
    let time = relative_time::show(last.time, now);
    match last.ip {
        Some(ip) => format!("{time} from {ip}"),
        None => time,
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}
