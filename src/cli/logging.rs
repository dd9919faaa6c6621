//! Where log records go: stderr, as lines for people or as JSON for a collector. A record that is made while a
//! request is served has its ID as `request.id`.
//!
//! The server's records, its panics and its last words go through one queue to one thread, so that no reader of
//! stderr, nor its absence, can stop, delay or end service. Commands write to stderr directly.

mod json;
mod limit;
mod queue;
mod text;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    panic, thread,
    time::{Duration, Instant},
};

use tracing::Event;
use tracing_subscriber::{
    EnvFilter, fmt,
    fmt::{
        FmtContext,
        format::{DefaultFields, Writer},
    },
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use crate::{
    config::{
        environment,
        log::{LogArgs, LogFormat},
    },
    metrics::Metrics,
};

use super::{exit_code::ExitCode, failure::Failure, output};
use limit::Limit;
pub(super) use queue::Lines;
use queue::Output;

/// Writes a record, as the library has it.
type Format<S> = fn(&FmtContext<'_, S, DefaultFields>, Writer<'_>, &Event<'_>) -> std::fmt::Result;

/// The log's own records, which no limit holds back.
const TARGET: &str = module_path!();

/// How long the end of the process waits for the last lines to be written.
const LAST_FLUSH: Duration = Duration::from_secs(1);
/// How often somebody looks whether there is something to tell of what was left out.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The server's log, which is flushed when this is dropped.
pub(super) struct Log {
    lines: Lines,
    limit: Limit,
}

/// Starts the server's log, which counts what it drops in `metrics`, and from now on has all panics, too.
///
/// # Errors
/// There is no thread to be had, or no file descriptor.
pub(super) fn start(args: &LogArgs, metrics: Metrics) -> io::Result<Log> {
    let log = Log {
        lines: Lines::new(metrics),
        limit: Limit::default(),
    };
    let format: Format<_> = match args.log_format {
        LogFormat::Text => text::format,
        LogFormat::Json => json::format,
    };
    let layer = fmt::layer()
        .with_writer(log.lines.clone())
        .with_ansi(io::stderr().is_terminal() && !environment::no_color())
        // It would be told by `eprintln!`, which panics where nobody reads.
        .log_internal_errors(false)
        .event_format(format);
    let subscriber = registry()
        .with(EnvFilter::new(&args.log_level))
        .with(log.limit.clone())
        .with(layer);
    // Only a test that runs two servers in one process finds a log that has been started already.
    drop(subscriber.try_init());

    // Not by way of std's handle, whose lock a stalled write would keep.
    let mut stderr = Output::new(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    let (lines, limit) = (log.lines.clone(), log.limit.clone());
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            loop {
                let dropped = lines.write_next(&mut stderr, LOOK_EVERY);
                if dropped > 0 {
                    tracing::warn!(
                        lines = dropped,
                        "log lines were dropped: whoever reads stderr was slow or gone"
                    );
                }
                limit.tell(Instant::now());
            }
        })?;
    panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// The standard library's own hook writes to stderr, and waits there.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let (thread, backtrace) = (thread::current(), Backtrace::capture());
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    tracing::error!(
        thread = thread.name(),
        backtrace = is_captured.then(|| tracing::field::display(&backtrace)),
        "panicked at {}: {}",
        info.location().expect("std always knows it"),
        info.payload_as_str().unwrap_or("(no text)"),
    );
}

impl Log {
    /// The way of other lines to stderr.
    pub(super) const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Tells why the server ends, where it failed: behind all that was logged before.
    pub(super) fn last_words(&self, ended: Result<(), Failure>) -> Result<(), Failure> {
        ended.map_err(|failure| {
            if failure.code() == ExitCode::Usage {
                // Nothing was started, and what helps follows.
                return failure;
            }
            if let Some(text) = failure.text() {
                self.lines.push(text.as_bytes());
            }
            Failure::silent(failure.code())
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.limit.tell_all();
        self.lines.flush(LAST_FLUSH);
    }
}

/// Starts the log of a command: warnings only, without the clutter.
pub(super) fn start_for_command() {
    let log = fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(|| ForPeople)
        .log_internal_errors(false);
    drop(
        log.without_time()
            .with_target(false)
            .with_ansi(false)
            .try_init(),
    );
}

/// stderr, to which a record comes as one write.
struct ForPeople;

impl Write for ForPeople {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        output::hint(String::from_utf8_lossy(record).trim_end_matches('\n'));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
