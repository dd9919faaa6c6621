//! A caller's work, sent to a thread of the store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::store::{
    error::{Error, Unavailable},
    tx::Tx,
};

/// A caller's work, with its result type erased.
pub(in crate::store) trait Job: Send {
    /// Whether the caller no longer waits for the result.
    fn is_abandoned(&self) -> bool;

    /// Whether the work revokes access, and so is admitted even while the disk is full.
    fn is_revocation(&self) -> bool;

    /// How long ago it was queued.
    fn waited(&self) -> Duration;

    /// Runs the work and keeps its result; may be called again if the transaction was rolled back. Returns whether it
    /// succeeded, so that its writes are to be kept. A panic counts as a failure.
    fn run(&mut self, tx: &Tx<'_>) -> bool;

    /// Answers the caller with the result, or with `fault` if the transaction failed.
    fn finish(self: Box<Self>, fault: Option<Error>);
}

/// Receives the result for the caller.
pub(in crate::store) struct PendingResult<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<Error>> PendingResult<T, E> {
    pub(in crate::store) async fn wait(self) -> Result<T, E> {
        // A job is dropped without a result only if its thread ended.
        let result = self.0.await;
        result.unwrap_or_else(|_| Err(Error::unavailable(Unavailable::Closed).into()))
    }
}

struct QueuedWork<T, E, W> {
    queued_at: Instant,
    work: W,
    is_revocation: bool,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

/// Makes a job of `work` that can run only once.
pub(in crate::store) fn prepare_once<T, E>(
    work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
) -> (Box<dyn Job>, PendingResult<T, E>)
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let mut work = Some(work);
    let once = move |tx: &Tx<'_>| match work.take() {
        Some(work) => work(tx),
        None => Err(Error::unavailable(Unavailable::RolledBack).into()),
    };
    prepare(once, false)
}

/// Makes a job of `work`.
pub(in crate::store) fn prepare<T, E, W>(
    work: W,
    is_revocation: bool,
) -> (Box<dyn Job>, PendingResult<T, E>)
where
    W: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (reply, result) = oneshot::channel();
    let job = QueuedWork {
        queued_at: Instant::now(),
        work,
        is_revocation,
        result: None,
        reply,
    };
    (Box::new(job), PendingResult(result))
}

impl<T, E, W> Job for QueuedWork<T, E, W>
where
    W: FnMut(&Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn is_revocation(&self) -> bool {
        self.is_revocation
    }

    fn waited(&self) -> Duration {
        self.queued_at.elapsed()
    }

    fn run(&mut self, tx: &Tx<'_>) -> bool {
        // Unwind safe: the work can only reach its transaction, which is rolled back.
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)))
            .unwrap_or_else(|_| Err(Error::Panicked.into()));
        self.result.insert(result).is_ok()
    }

    fn finish(self: Box<Self>, fault: Option<Error>) {
        let result = match (fault, self.result) {
            (Some(fault), _) => Err(fault.into()),
            (None, Some(result)) => result,
            (None, None) => Err(Error::unavailable(Unavailable::Closed).into()),
        };
        // If the caller is gone, there is nobody to tell.
        drop(self.reply.send(result));
    }
}
