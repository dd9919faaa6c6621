//! `hallpass token`: create, list, show, change, check and end tokens.

mod check;
mod issue;
mod list;
mod revoke;
mod selection;

use clap::{Args, Subcommand};

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        presented_token::PresentedToken,
        time::Timestamp,
        token_text::TokenTextError,
    },
    proto::hallpass::v1::{
        DeleteTokenRequest, GetTokenRequest, LookUpTokenRequest, Token, UpdateTokenRequest,
    },
};

use super::{
    client::Client,
    confirmation::TerminalConfirmation,
    failure::Failure,
    impact,
    output::{self, OutputArgs, or_dash},
    plural, relative_time, user_view,
};

/// The most frequent tasks.
pub(super) const EXAMPLES: &str = "\
Examples:
  hallpass machine create ci-bot --owner alice       a machine to have tokens
  hallpass token create ci-bot --note deploy --scope deploy --expires 90d
  hallpass token list ci-bot                         its tokens, and when each was last used
  hallpass token get TOKEN_ID                        one token, and from where it was used
  hallpass token rotate TOKEN_ID --grace 1h          replace it by a token with a new secret
  hallpass token explain - --scope deploy            why a token that you paste is refused
  hallpass token revoke --user ci-bot --dry-run      what revoking all its tokens would end
  hallpass user deactivate --help                    what to do when somebody leaves";

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Create a token and print its plaintext, which is shown only this once.
    Create(Box<issue::Create>),
    /// List a user's live tokens, your own by default, or with --all the tokens of all users.
    ///
    /// A use is listed within a minute. `hallpass token get` also shows from where it came.
    List(list::List),
    /// Show a token: whose it is, when and from where it was last used, and when it expires.
    #[command(alias = "show")]
    Get(TokenArgs),
    /// Replace a token by a new one and print its plaintext, which is shown only this once.
    #[command(alias = "renew")]
    Rotate(issue::Rotate),
    /// Change a token's note, or narrow its scopes and networks.
    Update(Update),
    /// Disable a token: it is still listed, but not accepted.
    Disable(TokenArgs),
    /// Enable a disabled token.
    Enable(TokenArgs),
    /// Explain why a token is valid or not, where it comes from, and what will end it.
    Explain(check::Explain),
    /// Check a plaintext on stdin with the server: whose it is, and whether it is valid or why not.
    ///
    /// The exit code is 0 if it is valid, and 1 if it is not.
    #[command(alias = "check")]
    Verify(check::Verify),
    /// Delete a token and all tokens created with it. No check that starts afterwards accepts them.
    #[command(alias = "remove")]
    Delete(Delete),
    /// Revoke many tokens at once, and all tokens created with them. --dry-run shows how many.
    Revoke(revoke::Revoke),
    /// Check the form of a plaintext on stdin without a server, and show its ID.
    Inspect(check::Inspect),
}

/// The arguments of commands that only need a token.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    /// The token's ID.
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    id: TokenId,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Args, Debug)]
pub(super) struct Delete {
    #[command(flatten)]
    confirmation: TerminalConfirmation,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Update {
    // First, since the help headings inside `token` would apply to what follows.
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    token: TokenArgs,
}

/// At least one change.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct ChangeArgs {
    /// The new note.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A scope to keep. May be repeated, or several separated by commas. The token loses its other scopes for good.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// A network to keep, or a part of one. May be repeated, or several separated by commas. The token loses its other
    /// networks for good.
    #[arg(long = "cidr", value_name = "CIDR", value_delimiter = ',')]
    cidrs: Vec<String>,
}

pub(super) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => issue::create(*args),
        TokenCommand::List(args) => list::run(&args),
        TokenCommand::Get(args) => get(&args),
        TokenCommand::Rotate(args) => issue::rotate(args),
        TokenCommand::Update(args) => update(args),
        TokenCommand::Disable(args) => disable(&args, true),
        TokenCommand::Enable(args) => disable(&args, false),
        TokenCommand::Explain(args) => check::explain(args),
        TokenCommand::Verify(args) => check::verify(args),
        TokenCommand::Delete(args) => delete(&args),
        TokenCommand::Revoke(args) => revoke::run(&args),
        TokenCommand::Inspect(args) => check::inspect(&args),
    }
}

/// For clap: reads a token's ID, or takes it from a plaintext that is given instead. Errors repeat neither.
fn token_id(text: &str) -> Result<TokenId, String> {
    match TokenId::from_paste(text) {
        Some(id) => Ok(id),
        None => PresentedToken::from_paste(text)
            .map(|token| token.id())
            .map_err(malformed_id),
    }
}

fn malformed_id(error: TokenTextError) -> String {
    match error {
        TokenTextError::Malformed => {
            "must be a token's ID, 22 letters and digits: `hallpass token list USER` shows them"
                .to_owned()
        }
        error => format!("must be a token's ID, and the token that is given instead {error}"),
    }
}

fn get(args: &TokenArgs) -> Result<(), Failure> {
    let token_id = args.id.to_string();
    let reply = Client::new(&args.target)?.call(&GetTokenRequest { token_id });
    let reply = reply.map_err(|failure| failure.naming(args.id))?;
    Ok(args.output.print(reply, |reply| {
        let token = reply.token.unwrap_or_default();
        let now = SystemClock.now();
        let (last_used, state) = (last_used(&token, now), state(&token, now));
        let created = relative_time::show(relative_time::of(token.create_time), now);
        let expires = relative_time::show_expiry(token.expire_time, now);
        output::fields([
            ("ID", token.id),
            ("User", user_view::named(&reply.username, &token.user_id)),
            ("Created", created),
            ("Expires", expires),
            ("Last used", last_used),
            ("State", state.to_owned()),
            ("Scopes", or_dash(token.scopes.join(" "))),
            ("Networks", or_dash(token.allowed_cidrs.join(" "))),
            ("Parent", or_dash(token.parent_id)),
            ("Successor", or_dash(token.successor_id)),
            ("Note", token.note),
        ])
    })?)
}

fn update(args: Update) -> Result<(), Failure> {
    let request = UpdateTokenRequest {
        note: args.changes.note,
        scopes: args.changes.scopes,
        allowed_cidrs: args.changes.cidrs,
        ..UpdateTokenRequest::default()
    };
    change(&args.token, request, "changed")
}

fn disable(args: &TokenArgs, disabled: bool) -> Result<(), Failure> {
    let request = UpdateTokenRequest {
        disabled: Some(disabled),
        ..UpdateTokenRequest::default()
    };
    let done = if disabled { "disabled" } else { "enabled" };
    change(args, request, done)
}

fn change(args: &TokenArgs, request: UpdateTokenRequest, done: &str) -> Result<(), Failure> {
    let id = args.id;
    let reply = Client::new(&args.target)?.call(&UpdateTokenRequest {
        token_id: id.to_string(),
        ..request
    });
    let reply = reply.map_err(|failure| failure.naming(id))?;
    Ok(args
        .output
        .print(reply, |_| output::line(&format!("{done} {id}")))?)
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let id = args.token.id;
    let client = Client::new(&args.token.target)?;
    args.confirmation.ask(&client, || {
        let found = look_up(&client, id)?;
        Ok(found.map(|(impact, children)| match children {
            0 => format!("{impact}. Delete it?"),
            children => {
                let (tokens, them) = (plural::count(children, "token"), plural::them(children));
                format!("{impact}; {tokens} created with it would end, too. Delete it and {them}?")
            }
        }))
    })?;
    let token_id = id.to_string();
    let reply = client.call(&DeleteTokenRequest { token_id });
    let reply = reply.map_err(|failure| failure.naming(id))?;
    Ok(args.token.output.print(reply, |reply| {
        let children = reply.deleted_children;
        output::line(&if reply.already_deleted {
            format!("{id} was deleted before: nothing was done")
        } else {
            format!("deleted {id}; tokens created with it, deleted too: {children}")
        })
    })?)
}

/// What would break if a token ended, and how many tokens were created with it. `None` if it does not exist, which the
/// call that follows reports.
fn look_up(client: &Client, id: TokenId) -> Result<Option<(String, u32)>, Failure> {
    let token_id = id.to_string();
    match client.call(&LookUpTokenRequest { token_id }) {
        Ok(found) => {
            let impact = impact::of_token(id, &found, SystemClock.now());
            Ok(Some((impact, found.live_children)))
        }
        Err(failure) if failure.is_refused_as("not_found") => Ok(None),
        // The caller may only delete this token, not look it up.
        Err(failure) if failure.is_refused_as("permission_denied") => Ok(Some((
            format!("you may not see what the token {id} is used for"),
            0,
        ))),
        Err(failure) => Err(failure),
    }
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    let is_past = |time| relative_time::of(Some(time)) <= now;
    let is_revoked = token.delete_time.is_some();
    let has_ended = is_revoked || token.expire_time.is_some_and(is_past);
    if has_ended && !token.successor_id.is_empty() {
        "rotated"
    } else if is_revoked {
        "revoked"
    } else if has_ended {
        "expired"
    } else if token.disabled {
        "disabled"
    } else if token.successor_id.is_empty() {
        "active"
    } else {
        "active (rotated)"
    }
}

/// The server may take a minute to record a use.
fn last_used(token: &Token, now: Timestamp) -> String {
    let Some(last) = &token.last_use else {
        return "never, or within the last minute".to_owned();
    };
    let time = relative_time::show(relative_time::of(last.time), now);
    match (&*last.ip, &*last.reporter_ip) {
        ("", _) => time,
        (ip, "") => format!("{time} from {ip}"),
        (ip, reporter) => format!("{time} from {ip}, as reported by {reporter}"),
    }
}
