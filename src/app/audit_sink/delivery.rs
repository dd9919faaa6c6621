//! The thread that delivers rows to the sink.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::oneshot, time};

use crate::{
    domain::{
        audit::{ChainHead, LinkedRow},
        audit_record::AuditRecord,
    },
    store::{self, Db, audit, meta},
};

use super::{
    AuditSink, SinkTarget,
    file::{Opened, SinkFile},
};

/// How many rows are written and synced at a time.
const CHUNK: u32 = 500;
/// How often it looks for a moved file and stores its position.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between two attempts, however many answers wait.
const MIN_RETRY: Duration = Duration::from_millis(50);
/// Lines that were written so shortly before the file was cut are written again: they may not have been in the copy.
const REWRITTEN: Duration = Duration::from_secs(30);

pub(super) fn start(
    sink: Arc<AuditSink>,
    db: Db,
    runtime: Handle,
    announced: oneshot::Receiver<()>,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("audit sink".to_owned());
    let out = SinkFile::new(&sink.options.target);
    let delivered = sink.progress.borrow().delivered;
    let position = Position {
        last: ChainHead {
            sequence: delivered,
            ..ChainHead::START
        },
        stored: delivered,
        recent: delivered,
        older: delivered,
        sampled_at: Instant::now(),
    };
    let delivery = Delivery {
        sink,
        db,
        runtime,
        out,
        position,
    };
    thread.spawn(move || delivery.run(announced)).map(drop)
}

struct Position {
    /// The last row that is delivered.
    last: ChainHead,
    /// The row that is stored as the last one.
    stored: i64,
    /// What was delivered at the last sample, and at the one before.
    recent: i64,
    older: i64,
    sampled_at: Instant,
}

struct Delivery {
    sink: Arc<AuditSink>,
    db: Db,
    runtime: Handle,
    out: SinkFile,
    position: Position,
}

/// Why rows could not be delivered.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("{0}")]
    Sink(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] store::Error),
}

impl Delivery {
    fn run(mut self, announced: oneshot::Receiver<()>) {
        if self.sink.options.target == SinkTarget::Stdout {
            // Nobody may read that, either.
            self.sink.set_writing(Some(Instant::now()));
            drop(self.runtime.block_on(announced));
        }
        let mut rows = self.db.audit_rows();
        let mut stop = self.sink.stop.subscribe();
        let reopen = Arc::clone(&self.sink.options.reopen);
        let retry = Arc::clone(&self.sink.retry);
        let mut wants_reopening = false;
        loop {
            rows.borrow_and_update();
            let is_stopping = *stop.borrow_and_update();
            if std::mem::take(&mut wants_reopening) {
                self.out.close();
            }
            let result = self.deliver();
            self.sink.set_writing(None);
            self.note(result.as_ref().err());
            self.store_position();
            if is_stopping {
                break;
            }
            let runtime = self.runtime.clone();
            let failed = result.is_err();
            runtime.block_on(async {
                if failed {
                    time::sleep(MIN_RETRY).await;
                }
                tokio::select! {
                    changed = rows.changed(), if !failed => drop(changed),
                    () = retry.notified() => {}
                    () = reopen.notified() => wants_reopening = true,
                    _ = stop.changed() => {}
                    () = time::sleep(TICK) => {}
                }
            });
        }
        self.sink.progress.send_modify(|now| now.has_ended = true);
    }

    /// Delivers all rows that are there.
    fn deliver(&mut self) -> Result<(), DeliveryError> {
        loop {
            self.sink.set_writing(Some(Instant::now()));
            match self.out.prepare()? {
                Opened::AsBefore => {}
                Opened::Anew(last) => self.take_position(last)?,
                Opened::Cut => {
                    tracing::warn!(
                        "the audit sink {} was cut; what was written to it in the last {} seconds is written again",
                        self.sink.options.target,
                        REWRITTEN.as_secs()
                    );
                    self.position.last.sequence = self.position.older;
                }
            }
            let after = self.position.last.sequence;
            let rows: Vec<LinkedRow> = self.runtime.block_on(self.db.read(move |tx| {
                let rows = audit::list(tx, Some(after), false, CHUNK)?;
                audit::link(tx, rows)
            }))?;
            let Some(last) = rows.last().map(|linked| ChainHead {
                sequence: linked.row.sequence,
                hash: linked.row.hash,
            }) else {
                return Ok(());
            };
            let lines: String = rows
                .iter()
                .map(|linked| AuditRecord::from(linked).to_line())
                .collect();
            self.out.append(lines.as_bytes())?;
            self.position.last = last;
            let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            self.sink.metrics.delivered(count);
            self.sink.progress.send_modify(|now| {
                now.delivered = now.delivered.max(last.sequence);
            });
        }
    }

    /// Goes on after the last line of the file if that is a row of this log and newer than what is known.
    fn take_position(&mut self, last: Option<ChainHead>) -> Result<(), DeliveryError> {
        let Some(last) = last.filter(|last| last.sequence > self.position.last.sequence) else {
            return Ok(());
        };
        let found = self
            .runtime
            .block_on(self.db.read(move |tx| audit::find(tx, last.sequence)))?;
        if found.is_some_and(|row| row.hash == last.hash) {
            self.position.last = last;
            self.sink
                .progress
                .send_modify(|now| now.delivered = last.sequence);
        } else {
            tracing::warn!(
                "the last line of the audit sink {} is row {} of another log, such as the one before a restore",
                self.sink.options.target,
                last.sequence
            );
        }
        Ok(())
    }

    fn note(&self, error: Option<&DeliveryError>) {
        let target = &self.sink.options.target;
        let was_failing = self.sink.progress.borrow().is_failing;
        match error {
            Some(error) => {
                self.sink.metrics.failed();
                if !was_failing {
                    tracing::error!(%error, "the audit sink {target} fails; its rows follow when it works again");
                }
                self.sink.progress.send_modify(|now| {
                    now.failures += 1;
                    now.is_failing = true;
                });
            }
            None if was_failing => {
                tracing::info!("the audit sink {target} works again, and has all rows");
                self.sink.progress.send_modify(|now| now.is_failing = false);
            }
            None => {}
        }
    }

    /// Stores the position at times. Rows that were delivered after it are found by the file's last line, or else
    /// delivered again.
    fn store_position(&mut self) {
        let last = self.position.last;
        if self.position.sampled_at.elapsed() > REWRITTEN {
            self.position.older = self.position.recent;
            self.position.recent = last.sequence;
            self.position.sampled_at = Instant::now();
        }
        if last.sequence == self.position.stored || last.hash == ChainHead::START.hash {
            return;
        }
        let name = self.sink.options.target.to_string();
        let write = self
            .db
            .write(move |tx| meta::set_sink_position(tx, &name, last));
        if self.runtime.block_on(write).is_ok() {
            self.position.stored = last.sequence;
        }
    }
}
