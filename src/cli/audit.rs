//! `hallpass audit`: reads, exports and follows the audit log, and checks whether it was tampered with.

mod export;
mod tail;

use std::{collections::HashMap, io, time::Duration};

use clap::{
    Args, Subcommand,
    builder::{PossibleValue, PossibleValuesParser},
};
use serde_json::json;

use crate::{
    config::{target::TargetArgs, values::number},
    domain::{
        audit::{AuditRow, ChainHash, ChainHead, LinkedRow},
        audit_action,
        audit_chain::{Chain, Expectation, RemovedRows, Verdict},
        audit_checkpoint::Checkpoint,
        clock::{Clock, SystemClock},
        duration,
        id::TokenId,
        lifetime,
        time::Timestamp,
        token_text::TokenText,
        user::Username,
    },
    proto::hallpass::v1::{
        AuditEvent, AuditFilter, ListAuditEventsRequest, ListAuditEventsResponse,
        StreamAuditEventsRequest, StreamAuditEventsResponse,
    },
};

use super::{
    client::{Client, MAX_LIMIT, Page, Session},
    exit_code::ExitCode,
    failure::Failure,
    output::{self, ListOutputArgs, OutputArgs, or_dash},
    plural, relative_time,
    table::{self, text, whole},
    time_arg::TimeArg,
};

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List the audit log, or the rows that the flags select, oldest first.
    ///
    /// Uses of tokens are not logged: `hallpass token get` shows the last one.
    List(List),
    /// Write the audit log, or the rows that the flags select, as JSON lines or CSV.
    ///
    /// All fields of each row are written, with its hash and that of the row before, so that anybody can compute the hash
    /// chain again: docs/audit.md has a program for it. Rows are in the order of their numbers, up to the record of this
    /// export.
    Export(export::Export),
    /// Follow the audit log: show the newest rows, and then each row as it is written.
    ///
    /// It goes on where it was when the server is restarted or the connection is lost, without losing or repeating a row.
    Tail(tail::Tail),
    /// Check that no row was edited, removed or moved, and print the head of the log's hash chain.
    ///
    /// The server sends the rows, and this command computes their hash chain itself. Keep the head somewhere else: with
    /// --head, a later check also detects a log that was rewritten or truncated.
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    /// Maximum number of rows. Default: all.
    #[arg(long, value_name = "NUMBER", value_parser = number(1..=MAX_LIMIT))]
    limit: Option<usize>,
    #[command(flatten)]
    output: ListOutputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    server: TargetArgs,
}

/// Selects the rows that meet all conditions.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which rows")]
struct FilterArgs {
    /// Only what this actor did: a user's name or ID; a token's ID for what was done with it; `local` or `local:UID` for
    /// processes on the server's machine; `system` for the server itself.
    #[arg(long, value_name = "USER", value_parser = actor)]
    actor: Option<String>,
    /// Only what was done to this user or token: a user's name or ID, or a token's ID. It may be deleted.
    #[arg(long = "target", value_name = "USER", value_parser = user_or_token)]
    acted_on: Option<String>,
    /// Only this action, such as token.create, or all of a group, such as token.
    #[arg(long, value_parser = action(), hide_possible_values = true)]
    action: Option<String>,
    /// Only what happened at this time or later: how long ago, such as 7d, a day such as 2027-01-01 (from 00:00 UTC), or
    /// a time such as 2027-01-01T08:00:00+01:00.
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// Only what happened before this time.
    #[arg(long, value_name = "WHEN")]
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
            return Err(Failure::usage("--since must be earlier than --until"));
        }
        Ok(AuditFilter {
            actor: self.actor.clone().unwrap_or_default(),
            target: self.acted_on.clone().unwrap_or_default(),
            action: self.action.clone().unwrap_or_default(),
            time_from: from.map(relative_time::to_proto),
            time_before: before.map(relative_time::to_proto),
        })
    }
}

/// For clap: reads an actor.
fn actor(text: &str) -> Result<String, String> {
    let uid = text.strip_prefix("local:").map(str::parse::<u32>);
    if matches!(uid, Some(Ok(_))) {
        return Ok(text.to_owned());
    }
    // `local` and `system` have the form of names.
    user_or_token(text)
}

/// For clap: reads a user's name or ID, or a token's ID, which it takes from a plaintext, too. Refuses other text, since
/// it may be a secret and must not be sent.
fn user_or_token(text: &str) -> Result<String, String> {
    if let Some(id) = TokenId::from_paste(text) {
        return Ok(id.to_string());
    }
    match (&TokenText::all_from_paste(text)[..], Username::parse(text)) {
        ([token], _) => Ok(token.id().to_string()),
        ([], Ok(name)) => Ok(name.as_str().to_owned()),
        _ => Err("must be a user's name or ID, or a token's ID".to_owned()),
    }
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// A head that an earlier check printed.
    #[arg(long, value_name = "SEQUENCE:HASH", value_parser = parse_head)]
    head: Option<ChainHead>,
    /// The retention that was agreed, such as 400d: report it if rows were purged by a shorter one.
    #[arg(long, value_name = "DURATION", value_parser = min_retention)]
    min_retention: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

fn parse_head(text: &str) -> Result<ChainHead, String> {
    ChainHead::parse(text)
        .ok_or_else(|| "must be SEQUENCE:HASH, as `hallpass audit verify` prints it".to_owned())
}

fn min_retention(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List(args) => list(&args),
        AuditCommand::Export(args) => export::export(&args),
        AuditCommand::Tail(args) => tail::tail(&args),
        AuditCommand::Verify(args) => verify(&args),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let filter = args.filter.filter(SystemClock.now())?;
    let client = Client::new(&args.server)?;
    let mut usernames = HashMap::new();
    let get = async |session: &mut Session, page: Page| {
        let request = ListAuditEventsRequest {
            page_size: page.size,
            page_token: page.token,
            reverse: args.reverse,
            filter: Some(filter.clone()),
        };
        let reply = session.call(&request).await.map_err(Failure::by_flag)?;
        usernames.extend(reply.usernames);
        Ok((reply.events, reply.next_page_token))
    };
    let Some(events) = client.list(args.output, args.limit, get)? else {
        return Ok(());
    };
    let reply = ListAuditEventsResponse {
        events,
        next_page_token: String::new(),
        usernames,
    };
    Ok(args.output.print(reply, print)?)
}

fn print(reply: ListAuditEventsResponse) -> io::Result<()> {
    let now = SystemClock.now();
    let name = |id: String| reply.usernames.get(&id).cloned().unwrap_or(id);
    // Leaves out what is true of most rows.
    let unless = |is_usual: bool, text: String| if is_usual { "-".to_owned() } else { text };
    let rows = reply.events.into_iter().map(|event| {
        [
            event.sequence.to_string(),
            relative_time::short(relative_time::of(event.time), now),
            or_dash(name(event.actor)),
            event.action,
            match Checkpoint::parse(&event.target) {
                Some(checkpoint) => format!("to row {}", checkpoint.last_removed.sequence),
                None => or_dash(name(event.target)),
            },
            unless(event.outcome == "ok", event.outcome),
            unless(event.count == 1, event.count.to_string()),
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
    table::print(columns, rows.collect())
}

/// Computes the hash chain here, over the rows as stored, so that a server that lies is found out.
fn verify(args: &Verify) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let mut chain = Chain::new(Expectation {
        noted: args.head,
        min_retention: args.min_retention,
    });
    let mut restorations = Vec::new();
    client.run(async |session| {
        let request = StreamAuditEventsRequest::default();
        let take = |reply: StreamAuditEventsResponse| {
            for event in reply.events {
                let row = linked_row(event)?.row;
                chain.check(&row);
                if audit_action::RESTORATIONS.contains(&&*row.action) {
                    restorations.push(row);
                }
            }
            Ok(())
        };
        session.stream(&request, take).await
    })?;
    report(args, &chain.finish(), &restorations)
}

/// Prints the verdict, and fails if the log is not as it must be.
fn report(args: &Verify, verdict: &Verdict, restorations: &[AuditRow]) -> Result<(), Failure> {
    if args.output.json {
        let breaks = verdict.breaks.iter();
        let breaks: Vec<_> = breaks
            .map(
                |found| json!({ "sequence": found.sequence.to_string(), "problem": found.problem }),
            )
            .collect();
        let removed = verdict.removed.map(|removed| {
            json!({
                "last": removed.last.to_string(),
                "time": removed.removed_at.to_string(),
                "checkpoint": removed.checkpoint.to_string(),
                "retention": lifetime::show(removed.retention).to_string(),
            })
        });
        output::json(&json!({
            "rows": verdict.rows.to_string(),
            "head": verdict.head.to_string(),
            "purged": removed,
            "breaks": breaks,
        }))?;
    } else {
        for found in &verdict.breaks {
            output::line(&format!("row {}: {}", found.sequence, found.problem))?;
        }
        if let Some(removed) = &verdict.removed {
            output::line(&purged(removed))?;
        }
        let rows = plural::count(verdict.rows, "row");
        output::line(&format!("{rows}, head {}", verdict.head))?;
    }
    if let Some(first) = verdict.breaks.first() {
        // A log that lacks the noted head, and nothing else.
        let head = args.head.filter(|_| verdict.breaks.len() == 1);
        let mut rows = restorations.iter().rev();
        let problem = match head.and_then(|head| rows.find(|row| replaced(row, head))) {
            Some(row) => format!("the head that you gave is not of this log: {}", told(row)),
            None => format!(
                "the audit log was tampered with, first at row {}: keep a copy of the database",
                first.sequence
            ),
        };
        return Err(Failure::new(ExitCode::AuditBroken, problem));
    }
    if let (true, Some(noted), Some(removed)) =
        (verdict.is_noted_removed, args.head, &verdict.removed)
    {
        let problem = format!(
            "--head: row {} is no longer there to be compared: {}; note a newer head",
            noted.sequence,
            purged(removed)
        );
        return Err(Failure::failed(problem));
    }
    Ok(())
}

fn purged(removed: &RemovedRows) -> String {
    format!(
        "rows 1 to {} were removed by the retention of {} at {}, covered by the checkpoint in row {}",
        removed.last,
        lifetime::show(removed.retention),
        removed.removed_at,
        removed.checkpoint
    )
}

/// Whether the database that had this head may have been replaced in the restoration that `row` records.
fn replaced(row: &AuditRow, head: ChainHead) -> bool {
    let last = ChainHead::parse(&row.target);
    head.sequence >= row.sequence && last.is_none_or(|last| last.sequence >= head.sequence)
}

fn told(row: &AuditRow) -> String {
    let (sequence, time, actor) = (row.sequence, row.time, &row.actor);
    let last = match ChainHead::parse(&row.target) {
        Some(last) => format!("whose last row was {last}"),
        None => "whose last row is not known".to_owned(),
    };
    format!(
        "row {sequence} says that at {time} {actor} restored a backup whose last row was {}, in the place of a database \
         {last}; the head is of that one. If nobody did, the log was tampered with",
        sequence - 1
    )
}

/// The row as stored.
///
/// # Errors
/// The server sent a malformed hash.
fn linked_row(event: AuditEvent) -> Result<LinkedRow, Failure> {
    let problem = format!("row {} of the audit log is malformed", event.sequence);
    let previous = event.previous_hash.clone().try_into().ok();
    let row = row(event).ok_or_else(|| Failure::failed(problem))?;
    Ok(LinkedRow {
        row,
        previous: previous.map(ChainHash::from_bytes),
    })
}

/// The row as stored; `None` if the server sent a malformed hash.
fn row(event: AuditEvent) -> Option<AuditRow> {
    Some(AuditRow {
        // An older server, without this field, writes format 1.
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
