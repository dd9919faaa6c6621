//! `hallpass audit`: reading the audit log, and finding out whether it was changed.

use std::collections::HashMap;

use clap::{
    Args, Subcommand,
    builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser},
};
use serde_json::json;

use crate::{
    config::{number::number, target::TargetArgs},
    domain::{
        audit::{AuditRow, ChainHash, ChainHead},
        audit_action,
        audit_chain::Chain,
        clock::{Clock, SystemClock},
        id::TokenId,
        time::Timestamp,
        token_text::TokenText,
    },
    proto::hallpass::v1::{
        AuditEvent, AuditFilter, ListAuditEventsRequest, ListAuditEventsResponse,
        StreamAuditEventsRequest, StreamAuditEventsResponse,
    },
};

use super::{
    client::{Client, MAX_LIMIT, Session},
    exit_code::ExitCode,
    failure::Failure,
    output::{self, ListOutputArgs, OutputArgs, or_dash},
    plural, relative_time,
    table::{self, text, whole},
    time_arg::{self, TimeArg},
};

/// `hallpass audit …`.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List the audit log, or what is looked for in it, oldest first.
    ///
    /// Uses of tokens are not in it: `hallpass token get` tells the last one.
    List(List),
    /// Check that no row was edited, removed or moved, and print the log's head.
    ///
    /// The rows come from the server; this command computes their chain of hashes itself. Keep the head somewhere
    /// else: with --head a later check also finds a log that was rewritten or cut.
    Verify(Verify),
}

/// `audit list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    /// At most so many rows. Not set: all.
    #[arg(long, value_name = "NUMBER", value_parser = number(1..=MAX_LIMIT))]
    limit: Option<usize>,
    #[command(flatten)]
    output: ListOutputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    server: TargetArgs,
}

/// What a row must meet, all of it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which rows")]
struct FilterArgs {
    /// What this one did: a user's name or ID; a token's ID for what was done with it; `local` or `local:UID` for
    /// processes on the server's machine; `system` for the server itself.
    #[arg(long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    actor: Option<String>,
    /// What was done to this one: a user's name or ID, or a token's ID. Those that were deleted count, too.
    #[arg(long = "target", value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    done_to: Option<String>,
    /// What was done: an action such as token.create, or all of a group such as token.
    #[arg(long, value_parser = action(), hide_possible_values = true)]
    action: Option<String>,
    /// What happened then or later: how long ago, such as 7d, a day such as 2027-01-01, as it begins in UTC, or a
    /// time such as 2027-01-01T08:00:00+01:00.
    #[arg(long, value_name = "WHEN", value_parser = time_arg::parse)]
    since: Option<TimeArg>,
    /// What happened earlier.
    #[arg(long, value_name = "WHEN", value_parser = time_arg::parse)]
    until: Option<TimeArg>,
}

fn action() -> PossibleValuesParser {
    let all = audit_action::groups().chain(audit_action::ACTIONS);
    PossibleValuesParser::new(all.map(PossibleValue::new))
}

impl FilterArgs {
    fn filter(&self, now: Timestamp) -> Result<AuditFilter, Failure> {
        let time = |arg: Option<TimeArg>| arg.map(|arg| arg.before(now));
        let (from, before) = (time(self.since), time(self.until));
        if let (Some(from), Some(before)) = (from, before)
            && from >= before
        {
            return Err(Failure::usage(
                "--since must be earlier than --until: nothing is between them",
            ));
        }
        Ok(AuditFilter {
            actor: party(self.actor.as_deref())?,
            target: party(self.done_to.as_deref())?,
            action: self.action.clone().unwrap_or_default(),
            time_from: from.map(relative_time::to_proto),
            time_before: before.map(relative_time::to_proto),
        })
    }
}

/// A user or token of an argument, for a request. Of a plaintext its ID is sent alone.
fn party(arg: Option<&str>) -> Result<String, Failure> {
    let Some(arg) = arg else {
        return Ok(String::new());
    };
    match &TokenText::all_from_paste(arg)[..] {
        [] => Ok(TokenId::from_paste(arg).map_or_else(|| arg.to_owned(), |id| id.to_string())),
        [token] => Ok(token.id().to_string()),
        _ => Err(Failure::usage("give one token's ID")),
    }
}

/// `audit verify`.
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// A head that was noted earlier.
    #[arg(long, value_name = "SEQUENCE:HASH", value_parser = parse_head)]
    head: Option<ChainHead>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

fn parse_head(text: &str) -> Result<ChainHead, String> {
    ChainHead::parse(text)
        .ok_or_else(|| "must be as `hallpass audit verify` prints it: SEQUENCE:HASH".to_owned())
}

/// Runs `hallpass audit …`.
pub(super) fn run(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List(args) => list(&args),
        AuditCommand::Verify(args) => verify(&args),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let filter = args.filter.filter(SystemClock.now())?;
    let client = Client::new(&args.server)?;
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut usernames = HashMap::new();
    let page = async |session: &mut Session, page_size, page_token| {
        let request = ListAuditEventsRequest {
            page_size,
            page_token,
            reverse: args.reverse,
            filter: Some(filter.clone()),
        };
        let page = session.call(&request).await;
        let page = page.map_err(Failure::by_flag)?;
        usernames.extend(page.usernames);
        Ok((page.events, page.next_page_token))
    };
    if args.output.jsonl {
        return client.print_lines(limit, page);
    }
    let events = client.run(async |session| session.all_pages(limit, page).await)?;
    if args.output.json {
        let next_page_token = String::new();
        return Ok(output::reply(&ListAuditEventsResponse {
            events,
            next_page_token,
            usernames,
        })?);
    }
    print(events, &usernames)
}

fn print(events: Vec<AuditEvent>, usernames: &HashMap<String, String>) -> Result<(), Failure> {
    let now = SystemClock.now();
    let name = |id: String| usernames.get(&id).cloned().unwrap_or(id);
    let rows = events.into_iter().map(|event| {
        [
            event.sequence.to_string(),
            relative_time::short(relative_time::of(event.time), now),
            or_dash(name(event.actor)),
            event.action,
            or_dash(name(event.target)),
            // What is usual says nothing.
            if event.outcome == "ok" {
                "-".to_owned()
            } else {
                event.outcome
            },
            if event.count == 1 {
                "-".to_owned()
            } else {
                event.count.to_string()
            },
            or_dash(event.ip),
        ]
    });
    let columns = [
        whole("ROW"),
        whole("TIME"),
        whole("ACTOR"),
        whole("ACTION"),
        whole("TARGET"),
        text("REFUSED"),
        whole("COUNT"),
        text("IP"),
    ];
    Ok(table::print(columns, rows.collect())?)
}

/// Computes the chain here, over rows as they are stored: whoever only believed the server's word for it would
/// learn nothing of a server that lies.
fn verify(args: &Verify) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let mut chain = Chain::new(args.head);
    client.run(async |session| {
        let request = StreamAuditEventsRequest { after_sequence: 0 };
        let take = |part: StreamAuditEventsResponse| {
            for event in part.events {
                let sequence = event.sequence;
                let row = row(event);
                let row = row.ok_or_else(|| {
                    Failure::failed(format!("row {sequence} of the audit log cannot be read"))
                })?;
                chain.check(&row);
            }
            Ok(())
        };
        session.stream(&request, take).await
    })?;
    let verdict = chain.finish();
    if args.output.json {
        let breaks = verdict.breaks.iter();
        let breaks: Vec<_> = breaks
            .map(
                |found| json!({ "sequence": found.sequence.to_string(), "problem": found.problem }),
            )
            .collect();
        output::json(&json!({
            "rows": verdict.rows.to_string(),
            "head": verdict.head.to_string(),
            "breaks": breaks,
        }))?;
    } else {
        for found in &verdict.breaks {
            output::line(&format!("row {}: {}", found.sequence, found.problem))?;
        }
        let rows = plural::count(verdict.rows, "row");
        output::line(&format!("{rows}, head {}", verdict.head))?;
    }
    match verdict.breaks.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(
            ExitCode::AuditBroken,
            format!(
                "the audit log was changed, first at row {}: keep a copy of the database",
                first.sequence
            ),
        )),
    }
}

/// As it is stored. `None`: the server sent what no row can be.
fn row(event: AuditEvent) -> Option<AuditRow> {
    Some(AuditRow {
        // A server that does not know the field writes the first one.
        format: event.format.max(1),
        sequence: event.sequence,
        time: relative_time::of(event.time),
        actor: event.actor,
        credential_kind: event.credential_kind,
        credential_id: event.credential_id,
        target: event.target,
        successor_id: event.successor_id,
        action: event.action,
        outcome: event.outcome,
        count: event.count,
        request_id: event.request_id,
        client_request_id: event.client_request_id,
        ip: event.ip,
        user_agent: event.user_agent,
        hash: ChainHash::from_bytes(event.hash.try_into().ok()?),
    })
}
