//! Where log records go: stderr, as lines for people or as JSON for a collector. A record that is made while a
//! request is served has its ID as `request.id`.

mod json;
mod text;

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::log::{LogArgs, LogFormat};

/// Starts the server's log.
pub(super) fn start(args: &LogArgs) {
    let filter = EnvFilter::new(&args.log_level);
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Only a test that runs two servers in one process finds a log that has been started already.
    drop(match args.log_format {
        LogFormat::Text => log
            .with_ansi(io::stderr().is_terminal())
            .event_format(text::Text)
            .try_init(),
        LogFormat::Json => log.event_format(json::Json).try_init(),
    });
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
