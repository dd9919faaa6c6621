//! What is logged, and how. The log goes to stderr.

use clap::{Args, ValueEnum, builder::PossibleValue};

use super::values;
use crate::server::LogRequests;

/// What is logged, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How the log is written to stderr.
    #[arg(
        long,
        env = "HALLPASS_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        default_value = "text",
        value_enum
    )]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or directives such as info,hallpass=debug.
    #[arg(
        long,
        env = "HALLPASS_LOG_LEVEL",
        hide_env_values = true,
        value_name = "LEVEL",
        default_value = "info",
        value_parser = values::log_level
    )]
    pub log_level: String,

    /// Which requests are in the log at level info; the others are at debug.
    #[arg(
        long,
        env = "HALLPASS_LOG_REQUESTS",
        hide_env_values = true,
        value_name = "WHICH",
        default_value = "default",
        value_enum
    )]
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
                "All but health probes and checks of tokens that went well",
            ),
            Self::Errors => (
                "errors",
                "What was refused or failed: statuses from 400 on, other codes than ok, tokens found invalid",
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
