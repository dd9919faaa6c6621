//! The log on stderr: lines for people, or JSON for a collector. A record that is made while a request is served has
//! the request's ID as `request.id`.
//!
//! The server's records, panics and last error go through one queue to one thread, so that a slow or missing reader of
//! stderr cannot stop or delay the service. Commands write to stderr directly.

mod format;
mod limit;
mod queue;

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
pub(super) use queue::LogQueue;
use queue::Output;

/// The library's form of a function that writes a record.
type Format<S> = fn(&FmtContext<'_, S, DefaultFields>, Writer<'_>, &Event<'_>) -> std::fmt::Result;

/// The target of the log's own records, which are not limited.
const TARGET: &str = module_path!();

/// How long the end of the process waits for the last lines to be written.
const LAST_FLUSH: Duration = Duration::from_secs(1);
/// How often the log reports how many records were left out.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// The server's log, which is flushed when this is dropped.
pub(super) struct Log {
    queue: LogQueue,
    limit: Limit,
}

/// Starts the server's log, which counts dropped lines in `metrics`, and has panics logged from now on.
///
/// # Errors
/// A thread or a file descriptor cannot be had.
pub(super) fn start(args: &LogArgs, metrics: Metrics) -> io::Result<Log> {
    let log = Log {
        queue: LogQueue::new(metrics),
        limit: Limit::default(),
    };
    let format: Format<_> = match args.log_format {
        LogFormat::Text => format::text,
        LogFormat::Json => format::json,
    };
    let layer = fmt::layer()
        .with_writer(log.queue.clone())
        .with_ansi(io::stderr().is_terminal() && !environment::no_color())
        // It would use `eprintln!`, which panics when the reader is gone.
        .log_internal_errors(false)
        .event_format(format);
    let subscriber = registry()
        .with(EnvFilter::new(&args.log_level))
        .with(log.limit.clone())
        .with(layer);
    // It fails only in a test that starts two servers in one process.
    drop(subscriber.try_init());

    // Not through std's handle, whose lock a stalled write would hold.
    let mut stderr = Output::new(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    let (queue, limit) = (log.queue.clone(), log.limit.clone());
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            loop {
                let dropped = queue.write_next(&mut stderr, REPORT_EVERY);
                if dropped > 0 {
                    tracing::warn!(
                        lines = dropped,
                        "log lines were dropped: the reader of stderr was slow or gone"
                    );
                }
                limit.report(Instant::now());
            }
        })?;
    panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// The standard library's own hook blocks on a stalled stderr.
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
    /// The queue, for other lines.
    pub(super) const fn queue(&self) -> &LogQueue {
        &self.queue
    }

    /// Queues the error with which the server ends, after all that was logged before.
    pub(super) fn last_error(&self, ended: Result<(), Failure>) -> Result<(), Failure> {
        ended.map_err(|failure| {
            if failure.code() == ExitCode::Usage {
                // Nothing was started, and the failure has lines of help.
                return failure;
            }
            if let Some(text) = failure.text() {
                self.queue.push(text.as_bytes());
            }
            Failure::silent(failure.code())
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.limit.report_all();
        self.queue.flush(LAST_FLUSH);
    }
}

/// Starts the log of a command: warnings alone, without time and target.
pub(super) fn start_for_command() {
    let log = fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(|| Hints)
        .log_internal_errors(false);
    drop(
        log.without_time()
            .with_target(false)
            .with_ansi(false)
            .try_init(),
    );
}

/// stderr. A record arrives as one write.
struct Hints;

impl Write for Hints {
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
