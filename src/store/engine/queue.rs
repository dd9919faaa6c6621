//! The bounded queue of a group of threads, which take jobs in batches.
//!
//! Waking a thread costs more than most lookups, so a job waits for a thread that is awake, unless there is none or
//! too many jobs wait already. It waits for at most one batch, as it would within the batch.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    metrics::{QueueName, StoreMetrics},
    store::{
        engine::job::Job,
        error::{Error, Unavailable},
    },
};

/// How many jobs may wait for the threads that are awake. One more wakes another thread.
const MAX_WAITING_FOR_AWAKE: usize = 2;

pub(in crate::store) struct JobQueue {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
    name: QueueName,
    metrics: StoreMetrics,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Job>>,
    /// Threads that work or have been woken.
    awake: usize,
    /// Threads that wait to be woken.
    asleep: usize,
    /// Threads that have been woken but do not run yet.
    notified: usize,
    closed: bool,
}

impl JobQueue {
    pub(in crate::store) fn new(limit: usize, name: QueueName, metrics: StoreMetrics) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            limit,
            name,
            metrics,
        }
    }

    /// Counts a transaction that failed as a whole.
    pub(in crate::store) fn failed(&self) {
        self.metrics.failed(self.name);
    }

    /// Counts a commit of `writes` writes.
    pub(in crate::store) fn committed(&self, writes: usize, time: Duration) {
        self.metrics.committed(writes, time);
    }

    /// Queues a job, or refuses it if the queue is full.
    pub(in crate::store) fn push(&self, job: Box<dyn Job>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::unavailable(Unavailable::Closed));
        }
        if state.jobs.len() >= self.limit {
            return Err(Error::Overloaded);
        }
        state.jobs.push_back(job);
        let must_wake = state.awake == 0 || state.jobs.len() > MAX_WAITING_FOR_AWAKE;
        if state.asleep > 0 && must_wake {
            state.asleep -= 1;
            state.awake += 1;
            state.notified += 1;
            drop(state);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Registers the calling thread.
    pub(in crate::store) fn register(&self) -> Worker<'_> {
        self.lock().awake += 1;
        Worker(self)
    }

    /// Takes all queued jobs without waiting for any.
    pub(in crate::store) fn take_waiting(&self) -> Vec<Box<dyn Job>> {
        self.lock().jobs.drain(..).collect()
    }

    /// Refuses further jobs; queued ones are still taken.
    pub(in crate::store) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nothing panics while holding the lock, so a poisoned one holds a consistent state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registered thread. When the thread ends, in whatever way, it is unregistered, so that no job waits for it.
pub(in crate::store) struct Worker<'a>(&'a JobQueue);

impl Worker<'_> {
    /// Waits for jobs, and takes at most `max` of those that are there, oldest first, without waiting for more.
    /// `None` once the queue is closed and empty.
    pub(in crate::store) fn take(&self, max: usize) -> Option<Vec<Box<dyn Job>>> {
        let mut state = self.0.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state.awake -= 1;
            state.asleep += 1;
            while state.notified == 0 && !state.closed {
                let woken = self.0.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
            if state.notified > 0 {
                state.notified -= 1;
            } else {
                // The queue was closed; no push woke this thread.
                state.asleep -= 1;
                state.awake += 1;
            }
        }
        let count = state.jobs.len().min(max);
        let taken: Vec<_> = state.jobs.drain(..count).collect();
        drop(state);
        for job in &taken {
            self.0.metrics.waited(self.0.name, job.waited());
        }
        Some(taken)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.0.lock().awake -= 1;
    }
}

impl fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobQueue")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;
    use crate::store::{engine::job, tx::Tx};

    fn job() -> Box<dyn Job> {
        job::prepare_once(|_: &Tx<'_>| Ok::<_, Error>(())).0
    }

    #[test]
    fn jobs_wait_for_an_awake_thread_and_too_many_wake_another() {
        let queue = JobQueue::new(9, QueueName::Read, StoreMetrics::default());
        thread::scope(|threads| {
            let (taken, took) = mpsc::channel();
            for _ in 0..2 {
                let (queue, taken) = (&queue, taken.clone());
                threads.spawn(move || {
                    let worker = queue.register();
                    // Holds its first batch until the queue is closed.
                    let first = worker.take(1).map(|batch| batch.len());
                    taken.send(first).unwrap();
                    while !queue.lock().closed {
                        thread::yield_now();
                    }
                    while worker.take(9).is_some() {}
                });
            }
            while queue.lock().asleep < 2 {
                thread::yield_now();
            }
            queue.push(job()).unwrap();
            assert_eq!(took.recv(), Ok(Some(1)));
            for _ in 0..MAX_WAITING_FOR_AWAKE {
                queue.push(job()).unwrap();
            }
            assert!(took.recv_timeout(Duration::from_millis(20)).is_err());
            queue.push(job()).unwrap();
            assert_eq!(took.recv(), Ok(Some(1)));
            queue.close();
        });
        let state = queue.lock();
        assert_eq!((state.awake, state.asleep, state.notified), (0, 0, 0));
    }

    #[test]
    fn a_job_queued_before_any_thread_is_taken_by_the_first() {
        let queue = JobQueue::new(1, QueueName::Read, StoreMetrics::default());
        queue.push(job()).unwrap();
        assert!(matches!(queue.push(job()), Err(Error::Overloaded)));
        let worker = queue.register();
        assert_eq!(worker.take(9).map(|batch| batch.len()), Some(1));
        queue.close();
        assert!(worker.take(9).is_none());
        assert!(queue.push(job()).is_err());
    }
}
