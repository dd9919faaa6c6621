//! `hallpass token`: making, listing, showing, changing, explaining and ending tokens, and reading a token's text.

mod create;
mod explain;
mod inspect;
mod list;
mod revoke;
mod rotate;
mod selection;
mod update;
mod verify;

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
    proto::hallpass::v1::{DeleteTokenRequest, GetTokenRequest, LookUpTokenRequest, Token},
};

use super::{
    client::Client,
    confirmation::TerminalConfirmation,
    failure::Failure,
    impact,
    output::{self, OutputArgs, or_dash},
    plural, relative_time, user_view,
};

/// What people come for.
pub(super) const EXAMPLES: &str = "\
Examples:
  hallpass machine create ci-bot --owner alice       a machine, whose tokens these are:
  hallpass token create ci-bot --note deploy --scope deploy --expires 90d
  hallpass token list ci-bot                         its tokens, and when each was last used
  hallpass token get TOKEN_ID                        one of them, and from where it was used
  hallpass token rotate TOKEN_ID --grace 1h          a new secret in its place
  hallpass token explain - --scope deploy            why what is pasted is refused
  hallpass token revoke --user ci-bot --dry-run      what revoking all of them would end
  hallpass user deactivate --help                    what to do when somebody leaves";

/// `hallpass token …`.
#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Create a token, and print its plaintext: the one time that it is shown.
    Create(Box<create::Create>),
    /// List the live tokens of a user or one's own, or with --all the tokens of all users.
    ///
    /// A use is told within a minute. From where it came, `hallpass token get` tells.
    List(list::List),
    /// Show a token: whose it is, when and from where it was last used, and when it ends.
    #[command(alias = "show")]
    Get(TokenArgs),
    /// Put a successor in a token's place, and print its plaintext: the one time that it is shown.
    #[command(alias = "renew")]
    Rotate(rotate::Rotate),
    /// Change a token's note, or narrow its scopes and networks.
    Update(update::Update),
    /// Disable a token: it is kept and listed, but not accepted.
    Disable(TokenArgs),
    /// Enable a token that was disabled.
    Enable(TokenArgs),
    /// Tell why a token is valid or not, where it comes from, and what will end it.
    Explain(explain::Explain),
    /// Ask the server about a plaintext on stdin: whose it is, and whether it is good, or why not.
    ///
    /// The exit code is 0 where it is valid, and 1 where it is not.
    #[command(alias = "check")]
    Verify(verify::Verify),
    /// Delete a token, and those that were made with it. No check that starts later accepts them.
    #[command(alias = "remove")]
    Delete(Delete),
    /// Revoke many tokens at once, and those that were made with them. A dry run first tells how many.
    Revoke(revoke::Revoke),
    /// Read a plaintext from stdin, offline: is it of the form, and what is its ID?
    Inspect(inspect::Inspect),
}

/// Commands that need no more than a token.
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

/// `token delete`.
#[derive(Args, Debug)]
pub(super) struct Delete {
    #[command(flatten)]
    confirmation: TerminalConfirmation,
    #[command(flatten)]
    named: TokenArgs,
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
        TokenCommand::Verify(args) => verify::run(args),
        TokenCommand::Delete(args) => delete(&args),
        TokenCommand::Revoke(args) => revoke::run(&args),
        TokenCommand::Inspect(args) => inspect::run(&args),
    }
}

/// Reads a token's ID from an argument. Of a plaintext that was given instead no more than its ID is used, and
/// nothing of either is repeated.
pub(super) fn token_id(text: &str) -> Result<TokenId, String> {
    match TokenId::from_paste(text) {
        Some(id) => Ok(id),
        None => PresentedToken::from_paste(text)
            .map(|token| token.id())
            .map_err(no_id),
    }
}

/// Why an argument names no token.
fn no_id(error: TokenTextError) -> String {
    match error {
        TokenTextError::Malformed => {
            "must be a token's ID, 22 letters and digits: `hallpass token list USER` tells them"
                .to_owned()
        }
        error => format!("must be a token's ID, and the token that is given instead {error}"),
    }
}

fn get(args: &TokenArgs) -> Result<(), Failure> {
    let token_id = args.id.to_string();
    let client = Client::new(&args.target)?;
    let reply = client.call(&GetTokenRequest { token_id });
    let reply = reply.map_err(|failure| failure.naming(args.id))?;
    if args.output.json {
        return Ok(output::reply(&reply)?);
    }
    let token = reply.token.unwrap_or_default();
    let now = SystemClock.now();
    let (last_used, state) = (last_used(&token, now), state(&token, now));
    let created = relative_time::show(relative_time::of(token.create_time), now);
    Ok(output::fields([
        ("ID", token.id),
        ("User", user_view::named(&reply.username, &token.user_id)),
        ("Created", created),
        (
            "Expires",
            relative_time::show_expiry(token.expire_time, now),
        ),
        ("Last used", last_used),
        ("State", state.to_owned()),
        ("Scopes", or_dash(token.scopes.join(" "))),
        ("Networks", or_dash(token.allowed_cidrs.join(" "))),
        ("Parent", or_dash(token.parent_id)),
        ("Successor", or_dash(token.successor_id)),
        ("Note", token.note),
    ])?)
}

fn delete(
    Delete {
        confirmation,
        named,
    }: &Delete,
) -> Result<(), Failure> {
    let id = named.id;
    let client = Client::new(&named.target)?;
    confirmation.ask(&client, || {
        let found = look_up(&client, id)?;
        Ok(found.map(|(impact, children)| match children {
            0 => format!("{impact}. Delete it?"),
            children => {
                let (tokens, them) = (plural::count(children, "token"), plural::them(children));
                format!("{impact}; {tokens} made with it would go, too. Delete it and {them}?")
            }
        }))
    })?;
    let token_id = id.to_string();
    let reply = client.call(&DeleteTokenRequest { token_id });
    let reply = reply.map_err(|failure| failure.naming(id))?;
    if named.output.json {
        output::reply(&reply)?;
    } else if reply.already_deleted {
        output::line(&format!("{id} was deleted before: nothing was done"))?;
    } else {
        let children = reply.deleted_children;
        output::line(&format!(
            "deleted {id}; tokens made with it, deleted too: {children}"
        ))?;
    }
    Ok(())
}

/// What would break with a token, for a question, and how many were made with it. `None`: it is not there, as whatever
/// is done to it will tell.
fn look_up(client: &Client, id: TokenId) -> Result<Option<(String, u32)>, Failure> {
    let token_id = id.to_string();
    match client.call(&LookUpTokenRequest { token_id }) {
        Ok(found) => {
            let impact = impact::of_token(id, &found, SystemClock.now());
            Ok(Some((impact, found.live_children)))
        }
        Err(failure) if failure.is_refused_as("not_found") => Ok(None),
        // A token that may do no more than end itself.
        Err(failure) if failure.is_refused_as("permission_denied") => Ok(Some((
            format!("what the token {id} is used for is not told"),
            0,
        ))),
        Err(failure) => Err(failure),
    }
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    let is_over = |time| relative_time::of(Some(time)) <= now;
    if token.expire_time.is_some_and(is_over) {
        "expired"
    } else if token.disabled {
        "disabled"
    } else if token.successor_id.is_empty() {
        "live"
    } else {
        "rotated"
    }
}

/// As far as the server has written it down: a use is on the disk within a minute.
fn last_used(token: &Token, now: Timestamp) -> String {
    let Some(last) = &token.last_use else {
        return "never, or within the last minute".to_owned();
    };
    let time = relative_time::show(relative_time::of(last.time), now);
    match (&*last.ip, &*last.reporter_ip) {
        ("", _) => time,
        (ip, "") => format!("{time} from {ip}"),
        (ip, reporter) => format!("{time} from {ip}, says {reporter}"),
    }
}
