//! One caller's work on its way to a thread of the store and back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    error::{Error, Unavailable},
    tx::Tx,
};

/// Work of some caller, of whatever type its answer is.
pub(super) trait Job: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;

    /// Whether it takes away access, so that it is written on a full disk, too.
    fn is_revocation(&self) -> bool;

    /// How long ago it was asked for.
    fn waited(&self) -> Duration;

    /// Does the work, which may be done again where the transaction was undone, and keeps the outcome. True where it succeeded: what it wrote is to be kept. A panic
    /// is an outcome like any other failure.
    fn run(&mut self, tx: &Tx<'_>) -> bool;

    /// Answers with the outcome, or with `fault` where what the outcome rests on did not come to be.
    fn settle(self: Box<Self>, fault: Option<Error>);
}

/// Where the caller waits for the answer.
pub(super) struct Answer<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<Error>> Answer<T, E> {
    pub(super) async fn wait(self) -> Result<T, E> {
        // A job dies unanswered only with its thread.
        let answer = self.0.await;
        answer.unwrap_or_else(|_| Err(Error::unavailable(Unavailable::Closed).into()))
    }
}

struct Request<T, E, W> {
    asked: Instant,
    work: W,
    is_revocation: bool,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

/// Makes a job of `work` that is done once.
pub(super) fn prepare_once<T, E>(
    work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
) -> (Box<dyn Job>, Answer<T, E>)
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
pub(super) fn prepare<T, E, W>(work: W, is_revocation: bool) -> (Box<dyn Job>, Answer<T, E>)
where
    W: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let job = Request {
        asked: Instant::now(),
        work,
        is_revocation,
        outcome: None,
        reply,
    };
    (Box::new(job), Answer(answer))
}

impl<T, E, W> Job for Request<T, E, W>
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
        self.asked.elapsed()
    }

    fn run(&mut self, tx: &Tx<'_>) -> bool {
        // What the work broke is undone with its transaction; nothing else is in its reach.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)))
            .unwrap_or_else(|_| Err(Error::Panicked.into()));
        self.outcome.insert(outcome).is_ok()
    }

    fn settle(self: Box<Self>, fault: Option<Error>) {
        let answer = match (fault, self.outcome) {
            (Some(fault), _) => Err(fault.into()),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(Error::unavailable(Unavailable::Closed).into()),
        };
        // The caller may have gone; then nobody is to be told.
        drop(self.reply.send(answer));
    }
}
