//! What was measured, for people or as JSON.

use std::{io, time::Duration};

use serde::Serialize;

use crate::cli::{output, table};

use super::load::Turn;

/// A line of the report. Times are in microseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    what: &'static str,
    clients: usize,
    per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
    cpu_micros: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    version: &'static str,
    measurements: &'a [Row],
    disk_sync_micros: f64,
    resident_bytes: Option<u64>,
}

impl Row {
    pub(super) fn new(what: &'static str, clients: usize, turn: &Turn) -> Self {
        let calls = f64::from(u32::try_from(turn.times.len()).unwrap_or(u32::MAX));
        Self {
            what,
            clients,
            per_second: calls / turn.elapsed.as_secs_f64(),
            p50_micros: quantile(&turn.times, 50),
            p99_micros: quantile(&turn.times, 99),
            cpu_micros: turn.cpu.map(|cpu| micros(cpu) / calls.max(1.0)),
        }
    }
}

/// Prints it.
pub(super) fn print(
    rows: &[Row],
    sync: Duration,
    resident_bytes: Option<u64>,
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        return output::json(&Report {
            version: env!("CARGO_PKG_VERSION"),
            measurements: rows,
            disk_sync_micros: micros(sync),
            resident_bytes,
        });
    }
    let columns = [
        "WHAT",
        "CLIENTS",
        "PER SECOND",
        "P50 µs",
        "P99 µs",
        "CPU µs",
    ]
    .map(table::whole);
    let line = |row: &Row| {
        [
            row.what.to_owned(),
            row.clients.to_string(),
            whole(row.per_second),
            whole(row.p50_micros),
            whole(row.p99_micros),
            row.cpu_micros.map_or_else(|| "-".to_owned(), whole),
        ]
    };
    table::print(columns, rows.iter().map(line).collect())?;
    output::line(&format!(
        "\nThe disk keeps 32 KiB in {} µs: a create waits for that at least.",
        whole(micros(sync))
    ))?;
    if let Some(bytes) = resident_bytes {
        output::line(&format!("The server has {} MiB resident.", bytes >> 20))?;
    }
    output::line("Server and clients shared this machine: where they do not, it is faster.")
}

/// Of sorted times.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().map_or(0.0, micros)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}
