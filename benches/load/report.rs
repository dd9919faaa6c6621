//! What is printed of the turns.

use std::{
    fs,
    io::{Write, stdout},
};

use crate::{Result, measure::Turn, scenarios::Prepared};

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

/// A line a scenario. Each figure is the median over the rounds, with the least and the most.
pub(crate) fn table(all: &Prepared) {
    line("");
    line("| scenario | clients | calls/s | CPU µs/call | p50 µs | p99 µs | resident MiB |");
    line("|---|---|---|---|---|---|---|");
    for scenario in &all.scenarios {
        let of = |value: fn(&Turn) -> f64| Spread::of(scenario.turns.iter().map(value)).whole();
        line(&format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            scenario.name,
            scenario.clients,
            of(|turn| turn.rate),
            of(|turn| turn.cpu_us),
            of(|turn| turn.p50_us),
            of(|turn| turn.p99_us),
            of(|turn| turn.resident_mib),
        ));
    }
}

/// A line of the report.
pub(crate) fn line(text: &str) {
    // That nobody reads on is no reason to fail.
    drop(writeln!(stdout(), "{text}"));
}
