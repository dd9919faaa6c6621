//! `hallpass audit tail`: follows the log.

use std::{collections::HashMap, io, thread, time::Duration};

use clap::Args;

use super::{FilterArgs, TargetArgs, linked_row};
use crate::{
    cli::{
        client::Client,
        exit_code::ExitCode,
        failure::Failure,
        output::{self, or_dash},
    },
    config::values::number,
    domain::{
        audit::LinkedRow,
        audit_record::AuditRecord,
        clock::{Clock as _, SystemClock},
    },
    proto::hallpass::v1::{AuditFilter, StreamAuditEventsRequest, StreamAuditEventsResponse},
};

/// A server sends something every five seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(in crate::cli) struct Tail {
    /// How many of the newest rows to begin with, 0 to 1000. With --since, all rows since then come first.
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value = "10",
        conflicts_with = "since"
    )]
    #[arg(value_parser = number(0..=1_000_u32))]
    newest: u32,
    /// End after so many rows. Default: never.
    #[arg(long, value_name = "NUMBER", value_parser = number(1..=u64::MAX))]
    limit: Option<u64>,
    /// Print JSON, one row per line, as `hallpass audit export` does.
    #[arg(long)]
    jsonl: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    server: TargetArgs,
}

/// What it has shown so far.
struct Following<'a> {
    args: &'a Tail,
    filter: AuditFilter,
    /// The number of the last row; 0: none yet.
    last: u64,
    left: u64,
    /// Whether a server has answered.
    is_connected: bool,
}

/// Follows until it is ended, its limit is reached, or the server refuses it.
pub(super) fn tail(args: &Tail) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let mut following = Following {
        args,
        filter: args.filter.filter(SystemClock.now())?,
        last: 0,
        left: args.limit.unwrap_or(u64::MAX),
        is_connected: false,
    };
    loop {
        let was_connected = following.is_connected;
        following.is_connected = false;
        let ended = client.follow(SILENCE_TIMEOUT, &following.request(), |part| {
            following.show(part)
        });
        if following.left == 0 {
            return Ok(());
        }
        let why = match ended {
            Ok(()) => "the server has stopped".to_owned(),
            Err(failure) if is_passing(&failure) && (was_connected || following.is_connected) => {
                failure.message().unwrap_or_default()
            }
            Err(failure) => return Err(failure),
        };
        if following.is_connected {
            output::hint(&format!("{why}; trying again every second"));
        }
        // From now on, whatever fails to connect is waited for.
        following.is_connected = true;
        thread::sleep(RECONNECT);
    }
}

fn is_passing(failure: &Failure) -> bool {
    let codes = ["unavailable", "resource_exhausted", "deadline_exceeded"];
    failure.code() == ExitCode::Unreachable || codes.iter().any(|code| failure.is_refused_as(code))
}

impl Following<'_> {
    fn request(&self) -> StreamAuditEventsRequest {
        StreamAuditEventsRequest {
            after_sequence: self.last,
            filter: Some(self.filter.clone()),
            follow: true,
            newest: self.args.newest,
        }
    }

    fn show(&mut self, part: StreamAuditEventsResponse) -> Result<(), Failure> {
        self.is_connected = true;
        for event in part.events {
            let linked = linked_row(event)?;
            let text = if self.args.jsonl {
                let line = AuditRecord::from(&linked).to_line();
                output::exact(line.trim_end())
            } else {
                output::line(&text(&linked, &part.usernames))
            };
            text.map_err(|error: io::Error| Failure::from(error))?;
            self.last = u64::try_from(linked.row.sequence).unwrap_or(self.last);
            self.left -= 1;
            if self.left == 0 {
                // Ends the stream; `tail` knows why.
                return Err(Failure::silent(ExitCode::Failed));
            }
        }
        Ok(())
    }
}

/// A row for people. Later rows are not known, so there are no columns to align.
fn text(linked: &LinkedRow, usernames: &HashMap<String, String>) -> String {
    let row = &linked.row;
    let name = |id: &String| or_dash(usernames.get(id).unwrap_or(id).clone());
    let count = match row.count {
        1 => String::new(),
        count => format!(" x{count}"),
    };
    let from = match row.ip.as_str() {
        "" => String::new(),
        ip => format!(" from {ip}"),
    };
    format!(
        "{} {} {} {} {} {}{count}{from}",
        row.sequence,
        row.time,
        name(&row.actor),
        row.action,
        name(&row.target),
        row.outcome
    )
}
