//! What is logged, and how. The log goes to stderr.

use clap::{Args, ValueEnum};

use super::values;

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
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
