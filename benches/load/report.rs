//! What is printed of the measurements.

use std::{
    fs,
    io::{Write, stdout},
};

use hallpass::cli::bench::load::Result;

use crate::scenarios::{Measured, Scenarios};

/// The median, and the least and the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }

    fn whole(self) -> String {
        let Self {
            median,
            least,
            most,
        } = self;
        format!("{median:.0} ({least:.0}–{most:.0})")
    }
}

/// Names the machine.
pub(crate) fn machine() -> Result<()> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or_default()
        .trim_start_matches([' ', '\t', ':']);
    let cores = info.lines().filter(|l| l.starts_with("processor")).count();
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    line(&format!(
        "{cores} × {model}, load average before the run: {load}"
    ));
    Ok(())
}

/// A row a scenario. Each figure is the median over the rounds, with the least and the most. How many cores the server
/// kept busy tells whether the load was enough.
pub(crate) fn table(all: &Scenarios) {
    line("");
    line(
        "| scenario | clients | calls/s | CPU µs/call | cores busy | p50 µs | p99 µs | resident MiB |",
    );
    line("|---|---|---|---|---|---|---|---|");
    for scenario in &all.list {
        let of = |value: fn(&Measured) -> f64| Spread::of(scenario.rounds.iter().map(value));
        line(&format!(
            "| {} | {} | {} | {} | {:.2} | {} | {} | {} |",
            scenario.name,
            scenario.clients,
            of(|round| round.rate).whole(),
            of(|round| round.cpu_us).whole(),
            of(|round| round.rate * round.cpu_us / 1e6).median,
            of(|round| round.p50_us).whole(),
            of(|round| round.p99_us).whole(),
            of(|round| round.resident_mib).whole(),
        ));
    }
}

/// A line of the report.
pub(crate) fn line(text: &str) {
    // A closed stdout is no reason to fail.
    drop(writeln!(stdout(), "{text}"));
}
