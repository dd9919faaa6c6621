//! Where log records go: stderr, as lines for people or as JSON for a collector.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::{FormatFields, format},
};

use crate::config::log::{LogArgs, LogFormat};

/// Starts the server's log.
pub(super) fn start(args: &LogArgs) {
    let filter = EnvFilter::new(&args.log_level);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // Only a test that runs two servers in one process finds a log that has been started already.
    drop(match args.log_format {
        LogFormat::Text if io::stderr().is_terminal() => log.try_init(),
        LogFormat::Text => log.with_ansi(false).fmt_fields(plain()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    });
}

/// As the library writes them, less what it does about colours where there are none: a third of a line's time.
fn plain() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let field = |writer: &mut format::Writer<'_>, field: &Field, value: &dyn fmt::Debug| match field
        .name()
    {
        "message" => write!(writer, "{value:?}"),
        name => write!(writer, "{name}={value:?}"),
    };
    format::debug_fn(field).delimited(" ")
}

/// Starts the log of a command: warnings only, without the clutter.
pub(super) fn start_for_command() {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(io::stderr);
    drop(
        log.without_time()
            .with_target(false)
            .with_ansi(false)
            .try_init(),
    );
}
