//! What was measured, for people or as JSON.

use std::{io, time::Duration};

use serde::Serialize;

use crate::cli::{output, table};

use super::load::{Measurement, micros};

/// A row of the report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportRow {
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
    measurements: &'a [ReportRow],
    disk_sync_micros: f64,
    resident_bytes: Option<u64>,
}

impl ReportRow {
    pub(super) const fn new(what: &'static str, clients: usize, measured: &Measurement) -> Self {
        Self {
            what,
            clients,
            per_second: measured.rate,
            p50_micros: measured.p50_us,
            p99_micros: measured.p99_us,
            cpu_micros: measured.cpu_us,
        }
    }
}

/// Prints it.
pub(super) fn print(
    rows: &[ReportRow],
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
    let line = |row: &ReportRow| {
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
    output::line("")?;
    output::line(&format!(
        "The disk keeps 32 KiB in {} µs: a create waits for that at least.",
        whole(micros(sync))
    ))?;
    if let Some(bytes) = resident_bytes {
        output::line(&format!("The server has {} MiB resident.", bytes >> 20))?;
    }
    output::line("Server and clients shared this machine: where they do not, it is faster.")
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}
