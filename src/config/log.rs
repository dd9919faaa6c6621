//! What is logged, and how. The log goes to stderr.

use clap::{Args, ValueEnum, builder::PossibleValue};

use super::values;
use crate::server::LogRequests;

/// What is logged, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The format of the log on stderr.
    #[arg(long, env, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What to log: error, warn, info, debug, trace, or directives such as info,hallpass=debug.
    #[arg(long, env, value_name = "LEVEL", default_value = "info", value_parser = values::log_level)]
    pub log_level: String,

    /// Which requests to log at level info. The others are logged at debug.
    #[arg(long, env, value_name = "WHICH", default_value = "default")]
    pub log_requests: LogRequests,
}

impl ValueEnum for LogRequests {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::All, Self::Default, Self::Errors]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::All => ("all", "Every request"),
            Self::Default => (
                "default",
                "All but health probes and successful checks of tokens",
            ),
            Self::Errors => (
                "errors",
                "Refused and failed requests: statuses from 400 on, codes other than ok, invalid tokens",
            ),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
