//! `hallpass token revoke`: many tokens at once. It tells first how many, and asks. Plaintexts come from
//! stdin, never as arguments, which every process on the machine could read. Where tokens are named and none of
//! them ends, it fails; what only flags select may be nothing.

use std::io::{self, IsTerminal, Read, Write};

use clap::Args;
use zeroize::Zeroizing;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        secret::Secret,
        token_text::TokenText,
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
        impact,
        output::{self, OutputArgs},
        plural, relative_time,
    },
    list::print_of_all,
    selection::SelectionArgs,
};

/// How many tokens go into one call, which takes no more.
const MAX_NAMED: usize = 1_000;

/// `token revoke`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Revoke {
    /// Tokens by ID. `-` reads IDs and plaintexts from stdin, as they were pasted, line by line. A plaintext ends its
    /// whole family. With filters, those of them that fit.
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
    if !args.dry_run {
        args.confirmation.check()?;
    }
    let named = read_named(&args.tokens)?;
    if named.is_empty() && !args.selection.is_set(SystemClock.now()) {
        return Err(Failure::usage(
            "say which tokens: by ID, by - for stdin, or by flags such as --user; a state alone is too little",
        ));
    }
    let client = Client::new(&args.target)?;
    let now = SystemClock.now();
    let filter = client.run(async |session| args.selection.read(session, now).await)?;
    let revocation = Revocation { filter, named };
    let plan = || client.run(async |session| revocation.run(session, true, |_| {}).await);
    if args.dry_run {
        return show(args.output, &revocation, &plan()?, true);
    }
    let mut of = None;
    if args.confirmation.is_given() {
        args.confirmation.ask(&client, "")?;
    } else {
        let plan = plan()?;
        of = Some(plan.token_count);
        if plan.token_count > 0 {
            args.confirmation
                .ask(&client, &question(&revocation, &plan))?;
        }
    }
    let progress = Progress::new(of);
    let done = client.run(async |session| {
        let tell = |done: &RevokeTokensResponse| progress.show(done.token_count);
        revocation.run(session, false, tell).await
    });
    progress.end();
    show(args.output, &revocation, &done?, false)
}

fn question(revocation: &Revocation, plan: &RevokeTokensResponse) -> String {
    let (tokens, them) = (
        plural::count(plan.token_count, "token"),
        plural::them(plan.token_count),
    );
    let used = impact::last_use(plan.last_use.as_ref(), SystemClock.now());
    let children = match plan.child_count {
        0 => String::new(),
        count => format!(", {} made with {them}", plural::count(count, "token")),
    };
    let families = if revocation.named.iter().any(|named| named.is_plaintext) {
        ", and the families of those given by plaintext"
    } else {
        ""
    };
    format!("Revoke {tokens}, {used}{children}{families}?")
}

/// A token that was named.
struct NamedToken {
    /// Its ID or its plaintext; empty where it is neither.
    text: Secret,
    /// What to call it: its ID, or the line that it is not in.
    label: String,
    is_plaintext: bool,
}

impl NamedToken {
    fn by_id(id: TokenId) -> Self {
        let label = id.to_string();
        let text = Secret::new(label.clone());
        Self {
            text,
            label,
            is_plaintext: false,
        }
    }

    fn by_token(token: &TokenText) -> Self {
        Self {
            text: Secret::new(token.expose().to_owned()),
            label: token.id().to_string(),
            is_plaintext: true,
        }
    }

    /// All that a line names: it is a list of tokens and IDs, or a text with tokens in it, whose IDs are then no
    /// tokens to be revoked. A line of neither counts as one name.
    fn all_in(number: usize, line: &str) -> Vec<Self> {
        let is_between = |char: char| char.is_whitespace() || matches!(char, ',' | ';');
        let words = line.split(is_between);
        // Not the bracket that begins a list.
        let words = words.filter(|word| word.contains(char::is_alphanumeric));
        let list: Option<Vec<_>> = words
            .map(|word| match TokenId::from_paste(word) {
                Some(id) => Some(Self::by_id(id)),
                None => Some(Self::by_token(&TokenText::from_paste(word).ok()?)),
            })
            .collect();
        let tokens = || TokenText::all_from_paste(line);
        let mut named = list.unwrap_or_else(|| tokens().iter().map(Self::by_token).collect());
        if named.is_empty() && line.contains(char::is_alphanumeric) {
            named.push(Self {
                text: Secret::new(String::new()),
                label: format!("line {number} of stdin"),
                is_plaintext: false,
            });
        }
        named
    }
}

/// The tokens that are named. A plaintext in an argument is refused, and not repeated.
fn read_named(args: &[String]) -> Result<Vec<NamedToken>, Failure> {
    let mut named = Vec::new();
    for arg in args {
        if arg == "-" {
            let mut text = Zeroizing::new(String::new());
            io::stdin()
                .lock()
                .read_to_string(&mut text)
                .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
            let lines = (1..).zip(text.lines());
            named.extend(lines.flat_map(|(number, line)| NamedToken::all_in(number, line)));
        } else if let Some(id) = TokenId::from_paste(arg) {
            named.push(NamedToken::by_id(id));
        } else if let Ok(token) = TokenText::from_paste(arg) {
            // Elsewhere it stands for its ID. Here the two do not mean the same.
            return Err(Failure::usage(format!(
                "a plaintext is never an argument here: pipe it in, with -, to end its whole family, or give its ID {} \
                 to end it alone",
                token.id()
            )));
        } else {
            return Err(Failure::usage(
                "an argument is neither a token's ID, 22 letters and digits, nor -; all tokens of a user are --user NAME",
            ));
        }
    }
    // Else a filter beside an empty list would select all that fits it.
    if named.is_empty() && !args.is_empty() {
        return Err(Failure::failed("stdin names no token: nothing was done"));
    }
    Ok(named)
}

/// What to revoke.
struct Revocation {
    filter: TokenFilter,
    named: Vec<NamedToken>,
}

impl Revocation {
    /// All of it, call after call, as one answer.
    async fn run(
        &self,
        session: &mut Session,
        dry_run: bool,
        tell: impl Fn(&RevokeTokensResponse),
    ) -> Result<RevokeTokensResponse, Failure> {
        let mut all = RevokeTokensResponse::default();
        let mut parts: Vec<&[NamedToken]> = self.named.chunks(MAX_NAMED).collect();
        if parts.is_empty() {
            // By the filter alone.
            parts.push(&[]);
        }
        for part in parts {
            let tokens = part.iter().map(|token| token.text.expose().to_owned());
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
                all.family_count = all.family_count.saturating_add(done.family_count);
                all.spared_own |= done.spared_own;
                all.outcomes.extend(done.outcomes);
                all.token_ids.extend(done.token_ids);
                let uses = [all.last_use.take(), done.last_use].into_iter().flatten();
                all.last_use = uses.max_by_key(|last| relative_time::of(last.time));
                if all.first_tokens.is_empty() {
                    all.first_tokens = done.first_tokens;
                    all.usernames = done.usernames;
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
    /// Of how many, where they were counted.
    of: Option<u32>,
    is_shown: bool,
}

impl Progress {
    fn new(of: Option<u32>) -> Self {
        let is_shown = io::stderr().is_terminal();
        Self { of, is_shown }
    }

    /// That nobody listens is no failure.
    fn show(&self, done: u32) {
        if self.is_shown {
            let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
            let mut stderr = io::stderr();
            drop(write!(stderr, "\rrevoked {done}{of}"));
            drop(stderr.flush());
        }
    }

    fn end(&self) {
        if self.is_shown {
            drop(writeln!(io::stderr()));
        }
    }
}

/// Tells what was done or, of a `plan`, what would be, and of each token that was named, where one was not revoked.
///
/// # Errors
/// Tokens were named, and not one of them is revoked now: whoever reported a leak must not go away believing
/// that it is over.
fn show(
    output: OutputArgs,
    revocation: &Revocation,
    done: &RevokeTokensResponse,
    is_plan: bool,
) -> Result<(), Failure> {
    if output.json {
        output::reply(done)?;
    } else {
        show_counts(done, is_plan)?;
        if done
            .outcomes()
            .any(|outcome| outcome != RevocationOutcome::Revoked)
        {
            for (named, outcome) in revocation.named.iter().zip(done.outcomes()) {
                let text = describe(outcome, is_plan);
                output::line(&format!("{}: {text}", named.label))?;
            }
        }
        for (text, count) in others(done, is_plan) {
            output::line(&format!("{text}: {count}"))?;
        }
        if is_plan && !done.first_tokens.is_empty() {
            output::line("the first of them:")?;
            print_of_all(&done.first_tokens, &done.usernames)?;
        }
    }
    let is_over = |outcome| {
        matches!(
            outcome,
            RevocationOutcome::Revoked | RevocationOutcome::NotLive
        )
    };
    if revocation.named.is_empty() || done.outcomes().any(is_over) {
        return Ok(());
    }
    let others = others(done, is_plan).map(|(text, count)| format!("{text}: {count}"));
    let others: Vec<_> = others.collect();
    let nothing = if is_plan { "would be" } else { "was" };
    Err(Failure::failed(format!(
        "nothing {nothing} revoked, of {} named: {}",
        plural::count(revocation.named.len(), "token"),
        others.join("; ")
    )))
}

fn show_counts(done: &RevokeTokensResponse, is_plan: bool) -> io::Result<()> {
    let count = done.token_count;
    let (tokens, them) = (plural::count(count, "token"), plural::them(count));
    if is_plan {
        return output::line(&format!(
            "would revoke {tokens}, and {} made with {them}",
            plural::count(done.child_count, "token")
        ));
    }
    let family = match done.family_count {
        0 => String::new(),
        others => format!("; others of their families: {others}"),
    };
    output::line(&format!(
        "revoked {tokens}; tokens made with {them}, revoked too: {}{family}",
        done.child_count
    ))
}

/// How many of the tokens that were named are not revoked by this, for each reason that there was.
fn others(of: &RevokeTokensResponse, is_plan: bool) -> impl Iterator<Item = (&'static str, usize)> {
    [
        RevocationOutcome::Malformed,
        RevocationOutcome::NotOurs,
        RevocationOutcome::OtherSecret,
        RevocationOutcome::NotLive,
        RevocationOutcome::NotSelected,
        RevocationOutcome::Spared,
    ]
    .into_iter()
    .map(move |outcome| {
        let count = of.outcomes().filter(|found| *found == outcome).count();
        (describe(outcome, is_plan), count)
    })
    .filter(|(_, count)| *count > 0)
}

const fn describe(outcome: RevocationOutcome, is_plan: bool) -> &'static str {
    match outcome {
        RevocationOutcome::Revoked if is_plan => "would be revoked",
        RevocationOutcome::Revoked => "revoked",
        RevocationOutcome::NotLive => "deleted or expired before",
        RevocationOutcome::NotOurs | RevocationOutcome::Unspecified => "unknown here",
        RevocationOutcome::OtherSecret => "the ID is known here, with another secret",
        RevocationOutcome::Malformed => "no token: mistyped or cut",
        RevocationOutcome::NotSelected => "not selected by the flags",
        RevocationOutcome::Spared => "spared, since this command uses it",
    }
}
