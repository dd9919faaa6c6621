//! `hallpass audit`: reading the audit log, and finding out whether it was changed.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    config::{number::number, target::TargetArgs},
    domain::{
        audit::{AuditRow, ChainHash, ChainHead},
        audit_chain::Chain,
        clock::{Clock, SystemClock},
    },
    proto::hallpass::v1::{
        AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse, StreamAuditEventsRequest,
        StreamAuditEventsResponse,
    },
};

use super::{
    client::{Client, MAX_LIMIT, Session},
    exit_code::ExitCode,
    failure::Failure,
    output::{self, ListOutputArgs, OutputArgs, or_dash},
    prose, relative_time,
    table::{self, text, whole},
};

/// `hallpass audit …`.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List the audit log, oldest first.
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
    target: TargetArgs,
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
    let client = Client::new(&args.target)?;
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut usernames = HashMap::new();
    let page = async |session: &mut Session, page_size, page_token| {
        let request = ListAuditEventsRequest {
            page_size,
            page_token,
            reverse: args.reverse,
        };
        let page = session.call(&request).await?;
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
        let rows = prose::count(verdict.rows, "row");
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
