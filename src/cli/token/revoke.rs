//! `hallpass token revoke`: revokes many tokens at once, after a question that says how many. Plaintexts come from
//! stdin, since every process on the machine can read arguments. It fails if tokens are named and none of them ends.

use std::io::{self, Read};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
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
    list::print_with_users,
    selection::SelectionArgs,
};

/// Maximum number of named tokens in one call.
const MAX_NAMED: usize = 1_000;

#[derive(Args, Debug)]
pub(in crate::cli) struct Revoke {
    /// Token IDs. `-` reads lines with IDs and plaintexts from stdin. A plaintext ends its whole family. With flags that
    /// select, only those of these tokens that match.
    // Takes anything and refuses it later, since clap would repeat it in an error, and it may be a plaintext.
    #[arg(value_name = "ID|-", num_args = 0..)]
    tokens: Vec<String>,
    /// Show what would be revoked, and change nothing.
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

pub(super) fn run(args: &Revoke) -> Result<(), Failure> {
    if !args.dry_run {
        args.confirmation.check()?;
    }
    let named = read_named(&args.tokens)?;
    if named.is_empty() && !args.selection.is_enough_to_revoke(SystemClock.now()) {
        return Err(Failure::usage(
            "which tokens? Give IDs, - for stdin, or flags such as --user; a state alone is not enough",
        ));
    }
    let client = Client::new(&args.target)?;
    let now = SystemClock.now();
    let filter = client.run(async |session| args.selection.filter(session, now).await)?;
    let revocation = Revocation { filter, named };
    let plan = || client.run(async |session| revocation.run(session, true, |_| {}).await);
    if args.dry_run {
        return show(args.output, &revocation, &plan()?, true);
    }
    let mut total = None;
    if args.confirmation.is_given() {
        args.confirmation.ask(&client, "")?;
    } else {
        let plan = plan()?;
        total = Some(plan.token_count);
        if plan.token_count > 0 {
            args.confirmation
                .ask(&client, &question(&revocation, &plan))?;
        }
    }
    let progress = progress_bar(total);
    let done = client.run(async |session| {
        let on_reply = |done: &RevokeTokensResponse| progress.set_position(done.token_count.into());
        revocation.run(session, false, on_reply).await
    });
    progress.abandon();
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
        count => format!(", {} created with {them}", plural::count(count, "token")),
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
    /// Its ID or its plaintext; empty if it is neither.
    text: Secret,
    /// Its ID, or the line of stdin that should name it.
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

    /// The tokens in a line. If all its words are IDs or plaintexts, these; otherwise only the plaintexts, since an ID in
    /// some other text need not be meant. A line without either counts as one malformed token.
    fn all_in(number: usize, line: &str) -> Vec<Self> {
        let is_separator = |char: char| char.is_whitespace() || matches!(char, ',' | ';');
        let words = line.split(is_separator);
        // Skips brackets around a list.
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

/// Reads the tokens that the arguments name. Refuses a plaintext in an argument, without repeating it.
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
            // Other commands take its ID from it. Here the two mean different things.
            return Err(Failure::usage(format!(
                "a plaintext cannot be an argument here: give - and pipe it in to end its whole family, or give its ID {} \
                 to end only this token",
                token.id()
            )));
        } else {
            return Err(Failure::usage(
                "an argument is neither a token's ID (22 letters and digits) nor -; for all tokens of a user give --user NAME",
            ));
        }
    }
    // With an empty list, the flags alone would select tokens.
    if named.is_empty() && !args.is_empty() {
        return Err(Failure::failed("stdin names no token: nothing was done"));
    }
    Ok(named)
}

struct Revocation {
    filter: TokenFilter,
    named: Vec<NamedToken>,
}

impl Revocation {
    /// Makes all calls, and adds their replies up.
    async fn run(
        &self,
        session: &mut Session,
        dry_run: bool,
        on_reply: impl Fn(&RevokeTokensResponse),
    ) -> Result<RevokeTokensResponse, Failure> {
        let mut all = RevokeTokensResponse::default();
        let mut parts: Vec<&[NamedToken]> = self.named.chunks(MAX_NAMED).collect();
        if parts.is_empty() {
            // One call with the filter alone.
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
                on_reply(&all);
                if done.next_page_token.is_empty() {
                    break;
                }
                request.page_token = done.next_page_token;
            }
        }
        Ok(all)
    }
}

/// How many tokens are revoked, shown on a terminal.
fn progress_bar(total: Option<u32>) -> ProgressBar {
    let template = match total {
        Some(_) => "revoked {pos} of {len}",
        None => "revoked {pos}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::new(total.unwrap_or_default().into()).with_style(style)
}

/// Prints what was revoked or, for a plan, what would be. If a named token was not, it prints the outcome of each.
///
/// Fails if tokens were named and none of them has ended: whoever reports a leak must not believe that it is over.
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
            output::line("the first tokens:")?;
            print_with_users(&done.first_tokens, &done.usernames)?;
        }
    }
    let has_ended = |outcome| {
        matches!(
            outcome,
            RevocationOutcome::Revoked | RevocationOutcome::NotLive
        )
    };
    if revocation.named.is_empty() || done.outcomes().any(has_ended) {
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
            "would revoke {tokens}, and {} created with {them}",
            plural::count(done.child_count, "token")
        ));
    }
    let family = match done.family_count {
        0 => String::new(),
        others => format!("; other tokens of their families: {others}"),
    };
    output::line(&format!(
        "revoked {tokens}; tokens created with {them}, revoked too: {}{family}",
        done.child_count
    ))
}

/// For each reason why named tokens are not revoked, how many.
fn others(
    reply: &RevokeTokensResponse,
    is_plan: bool,
) -> impl Iterator<Item = (&'static str, usize)> {
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
        let count = reply.outcomes().filter(|found| *found == outcome).count();
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
        RevocationOutcome::Malformed => "not a token: mistyped or truncated",
        RevocationOutcome::NotSelected => "not selected by the flags",
        RevocationOutcome::Spared => "not revoked, since this command uses it",
    }
}
