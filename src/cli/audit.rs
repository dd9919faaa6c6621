//! `hallpass audit`: reading the audit log, and finding out whether it was changed.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    app::AppOptions,
    config::store::StoreArgs,
    domain::{
        audit::{AuditRow, ChainHead},
        clock::{Clock, SystemClock},
    },
};

use super::{
    answer::{Answer, AuditAnswer},
    exit_code::ExitCode,
    failure::Failure,
    local_app::{LocalApp, all_pages},
    output::{self, OutputArgs},
    relative_time,
};

/// `hallpass audit …`.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List the audit log, oldest first.
    List(List),
    /// Check that no row was edited, removed or moved, and print the log's head.
    ///
    /// Keep the head somewhere else: with --head a later check also finds a log that was rewritten or cut.
    Verify(Verify),
}

/// `audit list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    /// At most so many rows. Not set: all.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
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
    store: StoreArgs,
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
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let limit = args.limit.unwrap_or(usize::MAX);
    let rows = local.run(async |app, caller| {
        all_pages(args.reverse, limit, async |page| {
            app.list_audit(caller, page).await
        })
        .await
    })?;
    if args.output.json {
        let events: Vec<_> = rows.iter().map(AuditAnswer::from).collect();
        output::json(&Answer("events", events))?;
    } else {
        table(&rows)?;
    }
    Ok(())
}

fn table(rows: &[AuditRow]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = rows.iter().map(|row| {
        [
            row.sequence.to_string(),
            relative_time::show(row.time, now),
            row.actor.clone(),
            row.action.clone(),
            row.target.clone(),
            row.outcome.clone(),
            row.count.to_string(),
            row.ip.clone(),
        ]
    });
    let header = [
        "SEQUENCE", "TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME", "COUNT", "IP",
    ];
    Ok(output::table(header, rows.collect())?)
}

fn verify(args: &Verify) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let verdict = local.run(async |app, _| app.verify_audit(args.head).await)?;
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
        output::line(&format!("{} rows, head {}", verdict.rows, verdict.head))?;
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
