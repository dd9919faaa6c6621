//! The audit sink: a second place that each audit row is written to as it happens, in the order of the commits, as
//! `audit export` writes it. A thread of its own delivers the rows, because the write of a line may hang for as long as
//! its reader likes. What the sink has is known by the last row's number, so that the missing rows follow after an
//! outage or a crash: each at least once.
//!
//! Where the operator requires the sink, no answer of a use case that wrote an audit row is given before that row is
//! delivered.

mod delivery;
mod file;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot, watch},
    time::timeout,
};

use crate::{
    metrics::AuditSinkMetrics,
    store::{audit, meta},
};

use super::{App, Error};

/// How long an answer waits for its row.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long the end of the server waits for the last rows.
const MAX_WAIT_AT_END: Duration = Duration::from_secs(2);
/// After how long a write counts as failing.
const HANGING: Duration = Duration::from_secs(3);

/// Where the rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// A file or named pipe.
    File(PathBuf),
    /// The standard output of the server.
    Stdout,
}

/// As the setting is written.
impl fmt::Display for SinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stdout => f.write_str("stdout"),
        }
    }
}

/// The settings of the sink.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Where the rows go.
    pub target: SinkTarget,
    /// Whether answers wait for their rows.
    pub required: bool,
    /// Opens the file again.
    pub reopen: Arc<Notify>,
}

/// What the thread has done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The number of the last row that is delivered.
    delivered: i64,
    /// How many attempts have failed.
    failures: u64,
    is_failing: bool,
    has_ended: bool,
    /// The number of the last row when the thread was started.
    last_at_start: i64,
}

/// The sink as the use cases see it.
#[derive(Debug)]
pub(super) struct AuditSink {
    options: SinkOptions,
    progress: watch::Sender<Progress>,
    /// Makes the thread try again at once.
    retry: Arc<Notify>,
    stop: watch::Sender<bool>,
    /// Since when a write is under way.
    writing_since: Mutex<Option<Instant>>,
    is_started: AtomicBool,
    is_hanging: AtomicBool,
    metrics: AuditSinkMetrics,
}

impl AuditSink {
    pub(super) fn new(options: SinkOptions, metrics: AuditSinkMetrics) -> Self {
        Self {
            options,
            progress: watch::Sender::new(Progress::default()),
            retry: Arc::default(),
            stop: watch::Sender::new(false),
            writing_since: Mutex::default(),
            is_started: AtomicBool::new(false),
            is_hanging: AtomicBool::new(false),
            metrics,
        }
    }

    /// Waits for row `row` to reach the sink. False if the sink fails first, or if that takes longer than `most`.
    async fn wait_for(&self, row: i64, most: Duration) -> bool {
        let mut progress = self.progress.subscribe();
        let before = *progress.borrow();
        if before.delivered >= row {
            return true;
        }
        if before.is_failing {
            self.retry.notify_one();
        }
        let is_decided = |now: &Progress| {
            now.delivered >= row || now.failures > before.failures || now.has_ended
        };
        let decided = timeout(most, progress.wait_for(is_decided)).await;
        decided.is_ok_and(|now| now.is_ok_and(|now| now.delivered >= row))
    }

    fn set_writing(&self, since: Option<Instant>) {
        *self
            .writing_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn is_hanging(&self) -> bool {
        let since = *self
            .writing_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() > HANGING)
    }

    /// Whether rows cannot be delivered at the moment.
    fn is_failing(&self) -> bool {
        self.progress.borrow().is_failing || self.is_hanging()
    }

    /// Updates the metrics, and logs once that a write hangs, which the thread itself cannot do.
    fn report(&self, last_row: i64) {
        let progress = *self.progress.borrow();
        let last_row = last_row.max(progress.last_at_start);
        let backlog = last_row.saturating_sub(progress.delivered);
        self.metrics.set(self.is_failing(), backlog.max(0));
        let is_hanging = self.is_hanging();
        if is_hanging && !self.is_hanging.swap(true, Ordering::SeqCst) {
            let sink = &self.options.target;
            tracing::error!(
                "the audit sink {sink} does not take what is written to it; its rows follow when it does"
            );
        } else if !is_hanging {
            self.is_hanging.store(false, Ordering::SeqCst);
        }
    }
}

impl App {
    /// Starts to deliver audit rows to the sink, if there is one; to the standard output once `announced` is ready.
    ///
    /// # Errors
    /// The last row or the sink's position cannot be read, or the thread cannot be started.
    pub async fn start_audit_sink(&self, announced: oneshot::Receiver<()>) -> Result<(), Error> {
        let Some(sink) = &self.0.audit_sink else {
            return Ok(());
        };
        let name = sink.options.target.to_string();
        let position = self
            .read(move |tx| Ok::<_, Error>((meta::sink_position(tx, &name)?, audit::head(tx)?)))
            .await?;
        let (position, head) = position;
        sink.progress.send_modify(|now| {
            now.delivered = position.map_or(0, |head| head.sequence);
            now.last_at_start = head.sequence;
        });
        sink.is_started.store(true, Ordering::SeqCst);
        delivery::start(
            Arc::clone(sink),
            self.0.db.clone(),
            Handle::current(),
            announced,
        )
        .map_err(|error| Error::Internal(Box::new(error)))
    }

    /// Waits until all rows that are committed now are delivered, if the operator requires that.
    ///
    /// # Errors
    /// The sink does not take them. What was asked for is done.
    pub(super) async fn audited(&self) -> Result<(), Error> {
        let Some(sink) = &self.0.audit_sink else {
            return Ok(());
        };
        if !sink.options.required || !sink.is_started.load(Ordering::SeqCst) {
            return Ok(());
        }
        let row = *self.0.db.audit_rows().borrow();
        if sink.wait_for(row, MAX_WAIT).await {
            Ok(())
        } else {
            Err(Error::NotDelivered)
        }
    }

    /// Whether answers are unavailable because the required sink does not take their rows.
    pub fn required_sink_fails(&self) -> bool {
        let sink = self.0.audit_sink.as_ref();
        sink.is_some_and(|sink| sink.options.required && sink.is_failing())
    }

    /// Whether the sink does not take rows.
    pub(super) fn sink_fails(&self) -> bool {
        self.0
            .audit_sink
            .as_ref()
            .is_some_and(|sink| sink.is_failing())
    }

    /// Rows up to this one may be purged: the sink has them.
    pub(super) fn last_delivered(&self) -> i64 {
        let sink = self.0.audit_sink.as_ref();
        sink.map_or(i64::MAX, |sink| sink.progress.borrow().delivered)
    }

    pub(super) fn report_audit_sink(&self) {
        if let Some(sink) = &self.0.audit_sink {
            sink.report(*self.0.db.audit_rows().borrow());
        }
    }

    /// Gives the sink a moment for the last rows, then ends its thread.
    pub(super) async fn end_audit_sink(&self) {
        let Some(sink) = &self.0.audit_sink else {
            return;
        };
        if !sink.is_started.load(Ordering::SeqCst) {
            return;
        }
        let row = *self.0.db.audit_rows().borrow();
        sink.wait_for(row, MAX_WAIT_AT_END).await;
        sink.stop.send_replace(true);
        let mut progress = sink.progress.subscribe();
        // A thread that hangs in a write ends with the process.
        drop(timeout(MAX_WAIT_AT_END, progress.wait_for(|now| now.has_ended)).await);
    }
}
