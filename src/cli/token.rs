//! `hallpass token`: making, showing, changing, explaining and ending tokens, and reading a token's text.

mod create;
mod expiry;
mod explain;
mod inspect;
mod rotate;
mod update;

use clap::{Args, Subcommand};

use crate::{
    app::{AppOptions, tokens::ListTokens},
    config::store::StoreArgs,
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
        token::Token,
    },
};

use super::{
    answer::{Answer, TokenAnswer},
    failure::Failure,
    local_app::{LocalApp, all_pages, find_user},
    output::{self, OutputArgs},
    relative_time,
};

/// `hallpass token …`.
#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Create a token, and print its plaintext: the one time that it is shown.
    Create(Box<create::Create>),
    /// List a user's live tokens.
    List(List),
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
    /// Read a plaintext from stdin, offline: is it of the form, and what is its ID?
    Inspect(inspect::Inspect),
}

/// `token list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Whose: a name or an ID.
    user: String,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
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
        TokenCommand::List(args) => list(&args),
        TokenCommand::Get(args) => get(&args),
        TokenCommand::Rotate(args) => rotate::run(args),
        TokenCommand::Update(args) => update::run(args),
        TokenCommand::Disable(args) => update::disable(args, true),
        TokenCommand::Enable(args) => update::disable(args, false),
        TokenCommand::Explain(args) => explain::run(&args),
        TokenCommand::Delete(args) => delete(&args),
        TokenCommand::Inspect(args) => inspect::run(&args),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let tokens = local.run(async |app, caller| {
        let user_id = find_user(app, caller, &args.user).await?.id.to_string();
        all_pages(args.reverse, usize::MAX, async |page| {
            let request = ListTokens {
                page,
                user_id: user_id.clone(),
            };
            app.list_tokens(caller, request).await
        })
        .await
    })?;
    if args.output.json {
        let tokens: Vec<_> = tokens.iter().map(TokenAnswer::from).collect();
        output::json(&Answer("tokens", tokens))?;
    } else {
        table(&tokens)?;
    }
    Ok(())
}

fn table(tokens: &[Token]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = tokens.iter().map(|token| {
        [
            token.id.to_string(),
            relative_time::show(token.create_time, now),
            relative_time::show_expiry(token.expire_time, now),
            last_used(token, now),
            state(token).to_owned(),
            or_dash(token.scopes.to_string()),
            token.note.as_str().to_owned(),
        ]
    });
    let header = [
        "ID",
        "CREATED",
        "EXPIRES",
        "LAST USED",
        "STATE",
        "SCOPES",
        "NOTE",
    ];
    Ok(output::table(header, rows.collect())?)
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
    if token.disabled {
        "disabled"
    } else if !token.is_live(SystemClock.now()) {
        "expired"
    } else if token.successor_id.is_some() {
        "rotated"
    } else {
        "live"
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
