//! Where log records go: stderr, as lines for people or as JSON for a collector. A record that is made while a
//! request is served has its ID as `request.id`.

mod json;
mod text;

use std::io::{self, IsTerminal};

use tracing::Event;
use tracing_subscriber::{
    EnvFilter, Registry, fmt,
    fmt::{
        FmtContext,
        format::{DefaultFields, Writer},
    },
};

use crate::config::log::{LogArgs, LogFormat};

/// Writes a record, as the library has it.
type Format =
    fn(&FmtContext<'_, Registry, DefaultFields>, Writer<'_>, &Event<'_>) -> std::fmt::Result;

/// Starts the server's log.
pub(super) fn start(args: &LogArgs) {
    let format: Format = match args.log_format {
        LogFormat::Text => text::format,
        LogFormat::Json => json::format,
    };
    let log = fmt()
        .with_env_filter(EnvFilter::new(&args.log_level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .event_format(format);
    // Only a test that runs two servers in one process finds a log that has been started already.
    drop(log.try_init());
}

/// Starts the log of a command: warnings only, without the clutter.
pub(super) fn start_for_command() {
    let log = fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(io::stderr);
    drop(
        log.without_time()
            .with_target(false)
            .with_ansi(false)
            .try_init(),
    );
}

#[cfg(test)]
mod tests;
