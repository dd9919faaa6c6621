//! Purges the oldest rows of the audit log, if the operator limits how long they are kept. Each chunk leaves a
//! checkpoint in the transaction that removes it, so that the chain can still be verified from there on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    domain::{audit::AuditEvent, audit_checkpoint::Checkpoint, time::Timestamp},
    store::audit,
};

use crate::app::{App, Error, audit::system_event};

/// Maximum number of rows removed per transaction: few enough that no writer waits for long.
const CHUNK: u32 = 500;
/// How many hourly purges readers of the whole log may put off.
const MAX_PUT_OFF: usize = 24;

/// The callers that read the whole audit log, from its first row on. The purge waits for them for a day at most:
/// somebody who verifies the chain is not to find rows gone that were there at the start.
#[derive(Clone, Debug, Default)]
pub(in crate::app) struct AuditReaders(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    readers: AtomicUsize,
    put_off: AtomicUsize,
}

/// A caller that reads the whole log.
#[derive(Debug)]
pub(in crate::app) struct AuditReader(Arc<Counts>);

impl AuditReaders {
    pub(in crate::app) fn enter(&self) -> AuditReader {
        self.0.readers.fetch_add(1, Ordering::SeqCst);
        AuditReader(Arc::clone(&self.0))
    }

    fn may_purge(&self) -> bool {
        self.0.readers.load(Ordering::SeqCst) == 0
            || self.0.put_off.load(Ordering::SeqCst) >= MAX_PUT_OFF
    }
}

impl Drop for AuditReader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl App {
    /// Removes the rows whose retention is over at `now`, one chunk per transaction, and stops early where somebody
    /// reads the log.
    pub(super) async fn purge_audit(&self, now: Timestamp) -> Result<(), Error> {
        let Some(retention) = self.options().audit_retention else {
            return Ok(());
        };
        let readers = &self.0.audit_readers;
        let before = now.minus(retention);
        loop {
            if !readers.may_purge() {
                readers.0.put_off.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            // Rows that the audit sink does not have yet are not lost to it.
            let max = self.last_delivered();
            let (written_at, request) = (self.now(), system_event(now, "audit.purge", ""));
            let removed = self
                .write_unanswered(move |tx| {
                    let Some(old) = audit::find_old(tx, before, max, CHUNK)? else {
                        return Ok(0);
                    };
                    // Otherwise, an idle server would purge a checkpoint an hour and leave another.
                    if old.are_checkpoints && old.count < CHUNK {
                        return Ok(0);
                    }
                    let checkpoint = Checkpoint {
                        last_removed: old.last,
                        time: old.time,
                        retention,
                    };
                    let event = AuditEvent {
                        time: written_at,
                        target: checkpoint.to_string(),
                        count: old.count,
                        ..request.clone()
                    };
                    audit::append(tx, event)?;
                    audit::remove_old(tx, old.last.sequence).map_err(Error::from)
                })
                .await?;
            if removed < u64::from(CHUNK) {
                readers.0.put_off.store(0, Ordering::SeqCst);
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}
