//! `hallpass token revoke`: many tokens at once. It tells first how many, and asks. Plaintexts come from
//! stdin, never as arguments, which every process on the machine could read.

use std::io::{self, IsTerminal, Read, Write};

use clap::Args;
use zeroize::Zeroizing;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        secret::Secret,
    },
    proto::hallpass::v1::{
        RevocationOutcome, RevokeTokensRequest, RevokeTokensResponse, TokenFilter,
    },
};

use super::{
    super::{
        client::{Client, Session},
        confirmation::Confirmation,
        failure::Failure,
        output::{self, OutputArgs},
    },
    list::table_of_all,
    selection::SelectionArgs,
};

/// So many named tokens go into one call: plaintexts with the longest prefix fit the body that a server takes by
/// default.
const NAMED: usize = 500;

/// `token revoke`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Revoke {
    /// Tokens by ID. `-` reads IDs and plaintexts from stdin, one a line. With filters, those of them that fit.
    // Anything is taken here, and refused below: clap would repeat it, and it may be a plaintext.
    #[arg(value_name = "ID|-", num_args = 0..)]
    tokens: Vec<String>,
    /// Tell what would be revoked, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token revoke`.
pub(super) fn run(args: &Revoke) -> Result<(), Failure> {
    let named = read_named(&args.tokens)?;
    if named.is_empty() && !args.selection.is_set(SystemClock.now()) {
        return Err(Failure::usage(
            "say which tokens: by ID, by - for stdin, or by flags such as --user; a state alone is too little",
        ));
    }
    let client = Client::new(&args.target)?;
    let now = SystemClock.now();
    let (work, plan) = client.run(async |session| {
        let filter = args.selection.read(session, now).await?;
        let work = Work { filter, named };
        let plan = work.run(session, true, |_| {}).await?;
        Ok((work, plan))
    })?;
    if args.dry_run {
        return show_plan(args.output, &plan);
    }
    let count = plan.token_count;
    if count > 0 {
        let question = format!("Revoke {count} tokens, and those made with them?");
        args.confirmation.ask(&client, &question)?;
    }
    let progress = Progress::new(count);
    let done = client.run(async |session| {
        let tell = |done: &RevokeTokensResponse| progress.show(done.token_count);
        work.run(session, false, tell).await
    });
    progress.end();
    show_done(args.output, &done?)
}

/// The tokens that are named. A plaintext in an argument is refused, and not repeated.
fn read_named(args: &[String]) -> Result<Vec<Secret>, Failure> {
    if args
        .iter()
        .any(|arg| arg != "-" && TokenId::parse(arg).is_none())
    {
        return Err(Failure::usage(
            "an argument is neither a token's ID nor -. A plaintext is never an argument: pipe it in, with -. \
             Others may have seen this one",
        ));
    }
    let mut named = Vec::new();
    for arg in args {
        if arg == "-" {
            let mut text = Zeroizing::new(String::new());
            io::stdin()
                .lock()
                .read_to_string(&mut text)
                .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            named.extend(lines.map(|line| Secret::new(line.to_owned())));
        } else {
            named.push(Secret::new(arg.clone()));
        }
    }
    // Else a filter beside an empty list would select all that fits it.
    if named.is_empty() && !args.is_empty() {
        return Err(Failure::failed("stdin names no token: nothing was done"));
    }
    Ok(named)
}

/// What to revoke.
struct Work {
    filter: TokenFilter,
    named: Vec<Secret>,
}

impl Work {
    /// All of it, call after call, as one answer.
    async fn run(
        &self,
        session: &mut Session,
        dry_run: bool,
        tell: impl Fn(&RevokeTokensResponse),
    ) -> Result<RevokeTokensResponse, Failure> {
        let mut all = RevokeTokensResponse::default();
        let mut parts: Vec<&[Secret]> = self.named.chunks(NAMED).collect();
        if parts.is_empty() {
            // By the filter alone.
            parts.push(&[]);
        }
        for part in parts {
            let tokens = part.iter().map(|token| token.expose().to_owned());
            let mut request = RevokeTokensRequest {
                filter: Some(self.filter.clone()),
                tokens: tokens.collect(),
                dry_run,
                page_token: String::new(),
            };
            loop {
                let done = session.call(&request).await?;
                all.token_count = all.token_count.saturating_add(done.token_count);
                all.child_count = all.child_count.saturating_add(done.child_count);
                all.spared_own |= done.spared_own;
                all.outcomes.extend(done.outcomes);
                if all.first_tokens.is_empty() {
                    all.first_tokens = done.first_tokens;
                }
                tell(&all);
                if done.next_page_token.is_empty() {
                    break;
                }
                request.page_token = done.next_page_token;
            }
        }
        Ok(all)
    }
}

/// How far it is, on a terminal.
struct Progress {
    of: u32,
    is_shown: bool,
}

impl Progress {
    fn new(of: u32) -> Self {
        let is_shown = io::stderr().is_terminal();
        Self { of, is_shown }
    }

    /// That nobody listens is no failure.
    fn show(&self, done: u32) {
        if self.is_shown {
            let mut stderr = io::stderr();
            drop(write!(stderr, "\rrevoked {done} of {}", self.of));
            drop(stderr.flush());
        }
    }

    fn end(&self) {
        if self.is_shown {
            drop(writeln!(io::stderr()));
        }
    }
}

fn show_plan(output: OutputArgs, plan: &RevokeTokensResponse) -> Result<(), Failure> {
    if output.json {
        return Ok(output::reply(plan)?);
    }
    let count = plan.token_count;
    output::line(&format!(
        "would revoke {count} tokens, and those made with them"
    ))?;
    show_outcomes(plan)?;
    if plan.first_tokens.is_empty() {
        return Ok(());
    }
    output::line("the first of them:")?;
    table_of_all(&plan.first_tokens)
}

fn show_done(output: OutputArgs, done: &RevokeTokensResponse) -> Result<(), Failure> {
    if output.json {
        return Ok(output::reply(done)?);
    }
    output::line(&format!(
        "revoked {} tokens; tokens made with them, revoked too: {}",
        done.token_count, done.child_count
    ))?;
    show_outcomes(done)
}

fn show_outcomes(of: &RevokeTokensResponse) -> Result<(), Failure> {
    for (outcome, text) in [
        (
            RevocationOutcome::NotOurs,
            "none of ours, or with another secret",
        ),
        (RevocationOutcome::NotLive, "deleted or expired before"),
        (
            RevocationOutcome::NotSelected,
            "named, and not selected by the flags",
        ),
        (
            RevocationOutcome::Spared,
            "spared, since this command uses it",
        ),
    ] {
        let count = of.outcomes().filter(|found| *found == outcome).count();
        if count > 0 {
            output::line(&format!("{text}: {count}"))?;
        }
    }
    Ok(())
}
