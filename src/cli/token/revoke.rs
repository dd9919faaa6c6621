//! `hallpass token revoke`: many tokens at once. It tells first how many, and asks. Plaintexts come from
//! stdin, never as arguments, which every process on the machine could read.

use std::io::{self, IsTerminal, Read, Write};

use clap::Args;
use zeroize::Zeroizing;

use crate::{
    app::{
        App, AppOptions, Error,
        caller::Caller,
        tokens::{Outcome, Revocation, RevokeTokens, TokenSelection},
    },
    config::store::StoreArgs,
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        secret::Secret,
    },
};

use super::{
    super::{
        answer::{RevokedAnswer, TokenAnswer},
        confirmation::Confirmation,
        failure::Failure,
        local_app::LocalApp,
        output::{self, OutputArgs},
    },
    list::table_of_all,
    selection::SelectionArgs,
};

/// So many named tokens go into one call.
const NAMED: usize = 1_000;
/// So many tokens lie between two looks at the progress.
const STEP: u32 = 1_000;

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
    store: StoreArgs,
}

/// Runs `hallpass token revoke`.
pub(super) fn run(args: &Revoke) -> Result<(), Failure> {
    let named = read_named(&args.tokens)?;
    if named.is_empty() && !args.selection.is_set(SystemClock.now()) {
        return Err(Failure::usage(
            "say which tokens: by ID, by - for stdin, or by flags such as --user; a state alone is too little",
        ));
    }
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let work = local.run(async |app, caller| {
        let filter = args.selection.read(app, caller).await?;
        Ok(Work { filter, named })
    })?;
    let plan = local.run(async |app, caller| work.run(app, caller, true, |_| {}).await)?;
    if args.dry_run {
        return show_plan(args.output, &plan);
    }
    if plan.tokens > 0 {
        let count = plan.tokens;
        args.confirmation
            .ask(&format!("Revoke {count} tokens, and those made with them?"))?;
    }
    let progress = Progress::new(plan.tokens);
    let done = local.run(async |app, caller| {
        let tell = |done: &Revocation| progress.show(done.tokens);
        work.run(app, caller, false, tell).await
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
    filter: TokenSelection,
    named: Vec<Secret>,
}

impl Work {
    /// All of it, call after call.
    async fn run(
        &self,
        app: &App,
        caller: &Caller,
        dry_run: bool,
        tell: impl Fn(&Revocation),
    ) -> Result<Revocation, Error> {
        let mut all = Revocation::default();
        let mut parts: Vec<&[Secret]> = self.named.chunks(NAMED).collect();
        if parts.is_empty() {
            // By the filter alone.
            parts.push(&[]);
        }
        for part in parts {
            let mut request = RevokeTokens {
                filter: self.filter.clone(),
                tokens: part.to_vec(),
                dry_run,
                limit: Some(STEP),
                ..RevokeTokens::default()
            };
            loop {
                let done = app.revoke_tokens(caller, request.clone()).await?;
                all.tokens = all.tokens.saturating_add(done.tokens);
                all.children = all.children.saturating_add(done.children);
                all.outcomes.extend(done.outcomes);
                if all.first.is_empty() {
                    all.first = done.first;
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

fn show_plan(output: OutputArgs, plan: &Revocation) -> Result<(), Failure> {
    if output.json {
        return json(plan);
    }
    let count = plan.tokens;
    output::line(&format!(
        "would revoke {count} tokens, and those made with them"
    ))?;
    show_outcomes(plan)?;
    if plan.first.is_empty() {
        return Ok(());
    }
    output::line("the first of them:")?;
    table_of_all(&plan.first)
}

fn show_done(output: OutputArgs, done: &Revocation) -> Result<(), Failure> {
    if output.json {
        return json(done);
    }
    output::line(&format!(
        "revoked {} tokens; tokens made with them, revoked too: {}",
        done.tokens, done.children
    ))?;
    show_outcomes(done)
}

fn show_outcomes(of: &Revocation) -> Result<(), Failure> {
    for (outcome, text) in [
        (Outcome::NotOurs, "none of ours, or with another secret"),
        (Outcome::NotLive, "deleted or expired before"),
        (Outcome::NotSelected, "named, and not selected by the flags"),
    ] {
        let count = of
            .outcomes
            .iter()
            .filter(|found| **found == outcome)
            .count();
        if count > 0 {
            output::line(&format!("{text}: {count}"))?;
        }
    }
    Ok(())
}

fn json(of: &Revocation) -> Result<(), Failure> {
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Revoked => "REVOCATION_OUTCOME_REVOKED",
        Outcome::NotLive => "REVOCATION_OUTCOME_NOT_LIVE",
        Outcome::NotOurs => "REVOCATION_OUTCOME_NOT_OURS",
        Outcome::NotSelected => "REVOCATION_OUTCOME_NOT_SELECTED",
        Outcome::Spared => "REVOCATION_OUTCOME_SPARED",
    };
    Ok(output::json(&RevokedAnswer {
        token_count: of.tokens,
        child_count: of.children,
        first_tokens: of.first.iter().map(TokenAnswer::from).collect(),
        outcomes: of.outcomes.iter().map(outcome).collect(),
    })?)
}
