//! What the command line says.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

/// What one core can check, and a bare handler beside it.
const ONE_CORE: [&str; 4] = ["bare axum", "verify", "introspect", "forward-auth"];

/// Measures Hallpass under load. All scenarios are measured in each round; only ratios within one run mean anything.
#[derive(Parser, Debug)]
pub(crate) struct Args {
    /// How many stored tokens, separated by commas; 10000000 takes some six minutes and 6 GB to prepare
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    pub(crate) tokens: Vec<u64>,
    /// How often each scenario is measured
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// How long each measurement is
    #[arg(long, alias = "turn", default_value = "1500ms", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// Only scenarios with one of these words in their name, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Pin the server to one core and the load to another. Without --only: checks of tokens alone
    #[arg(long, conflicts_with = "sustain")]
    pub(crate) one_core: bool,
    /// Instead: a mixed load at 70 % of the peak for so long, such as 30m; memory and log size are watched
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) sustain: Option<Duration>,
    /// The hallpass to measure, instead of one that is built now
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// Another hallpass, measured in each round beside the first
    #[arg(long)]
    pub(crate) beside: Option<PathBuf>,
    /// What the servers are told to log
    #[arg(long, default_value = "info")]
    pub(crate) log_level: String,
    /// This process is one of the servers
    #[arg(long, hide = true)]
    pub(crate) role: Option<Role>,
    /// Its database
    #[arg(long, hide = true)]
    pub(crate) database: Option<PathBuf>,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is not hallpass itself.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    /// A handler under `axum::serve`.
    Bare,
    /// A procedure that does nothing, behind the listener and the edge.
    Noop,
    /// Creates on ten pooled connections.
    Pool,
}

impl Args {
    /// Whether the scenario is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_named = |word: &str| name.contains(word);
        if self.only.is_empty() {
            return !self.one_core || ONE_CORE.into_iter().any(is_named);
        }
        self.only.iter().any(|word| is_named(word))
    }
}
