//! A pool of low-priority threads with bounded queues. Each thread reuses its own work memory.
//!
//! The pool knows nothing about passwords. It has two queues whose jobs alternate, so a flood in one delays each job
//! of the other by at most one more. It uses a mutex and a condition variable instead of a channel, because abandoned
//! jobs must leave the queue and an idle thread must wake up to free its memory.

use std::{
    collections::VecDeque,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::hashing_thread::{WorkMemory, lower_priority};

/// A job, which is abandoned once nobody waits for its result.
trait Job: Send {
    fn is_abandoned(&self) -> bool;
    fn run(self: Box<Self>, memory: &mut WorkMemory);
}

struct Call<T, F> {
    reply: oneshot::Sender<T>,
    work: F,
}

impl<T: Send, F: FnOnce(&mut WorkMemory) -> T + Send> Job for Call<T, F> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut WorkMemory) {
        // The receiver may be gone, which is not an error.
        let _ = self.reply.send((self.work)(memory));
    }
}

/// The queue that a job waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashQueue {
    /// For callers who are authenticated, or who signed in recently from the same network.
    KnownNetworks,
    /// For everybody else.
    Others,
}

type Jobs = VecDeque<Box<dyn Job>>;

#[derive(Default)]
struct Queues {
    known: Jobs,
    others: Jobs,
    /// The queue that had the last job.
    last: Option<HashQueue>,
    closed: bool,
}

impl Queues {
    fn of(&mut self, which: HashQueue) -> &mut Jobs {
        match which {
            HashQueue::KnownNetworks => &mut self.known,
            HashQueue::Others => &mut self.others,
        }
    }

    /// The next job that was not abandoned; the queues take order.
    fn pop(&mut self) -> Option<Box<dyn Job>> {
        let order = match self.last {
            Some(HashQueue::KnownNetworks) => [HashQueue::Others, HashQueue::KnownNetworks],
            _ => [HashQueue::KnownNetworks, HashQueue::Others],
        };
        for which in order {
            let jobs = self.of(which);
            while let Some(job) = jobs.pop_front() {
                if !job.is_abandoned() {
                    self.last = Some(which);
                    return Some(job);
                }
            }
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.known.is_empty() && self.others.is_empty()
    }
}

struct Shared {
    queue: Mutex<Queues>,
    changed: Condvar,
}

impl Shared {
    /// Ignores poisoning: no job runs under the lock, so the queue is always consistent.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next job that was not abandoned; `None` when the threads are to end.
    fn next(&self, memory: &mut WorkMemory, idle: Duration) -> Option<Box<dyn Job>> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            if memory.is_empty() {
                let woken = self.changed.wait(queue);
                queue = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let woken = self.changed.wait_timeout(queue, idle);
            let (guard, wait) = woken.unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            if wait.timed_out() && queue.is_empty() {
                // Unmapping takes a while, and callers need this lock to queue their jobs.
                drop(queue);
                memory.release();
                queue = self.lock();
            }
        }
    }

    fn work(&self, mut memory: WorkMemory, idle: Duration) {
        lower_priority();
        while let Some(job) = self.next(&mut memory, idle) {
            // A job that panics drops its reply, which its caller notices. The thread goes on with new memory,
            // because the state of the old one is unknown.
            if catch_unwind(AssertUnwindSafe(|| job.run(&mut memory))).is_err() {
                memory.release();
            }
        }
    }
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

pub(super) struct Workers {
    shared: Arc<Shared>,
    capacity: usize,
    held_bytes: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// At most `capacity` jobs wait in each queue; a thread frees its memory after `idle` without a job.
    pub(super) fn start(threads: usize, capacity: usize, idle: Duration) -> io::Result<Self> {
        let shared = Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        };
        let mut workers = Self {
            shared: Arc::new(shared),
            capacity,
            held_bytes: Arc::default(),
            threads: Vec::with_capacity(threads),
        };
        for number in 1..=threads {
            let shared = Arc::clone(&workers.shared);
            let memory = WorkMemory::new(Arc::clone(&workers.held_bytes));
            let thread = thread::Builder::new().name(format!("hasher-{number}"));
            // If it fails, dropping `workers` ends the threads that were started.
            let thread = thread.spawn(move || shared.work(memory, idle))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Queues `work`, whose result goes to `reply`. It is skipped if the receiver is gone by then.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        which: HashQueue,
        reply: oneshot::Sender<T>,
        work: impl FnOnce(&mut WorkMemory) -> T + Send + 'static,
    ) -> Result<(), Full> {
        let mut queue = self.shared.lock();
        let jobs = queue.of(which);
        if jobs.len() >= self.capacity {
            jobs.retain(|job| !job.is_abandoned());
        }
        if jobs.len() >= self.capacity {
            return Err(Full);
        }
        jobs.push_back(Box::new(Call { reply, work }));
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.known.clear();
        queue.others.clear();
        drop(queue);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; the panic hook has reported any other.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut show = f.debug_struct("Workers");
        show.field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Weak, mpsc},
        time::Instant,
    };

    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    /// Keeps the only thread busy until the sender is dropped; returns once the thread is running the job.
    fn occupy(workers: &Workers) -> mpsc::Sender<()> {
        let (release, gate) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let (reply, answer) = oneshot::channel();
        let work = move |_: &mut WorkMemory| {
            let _keeps_the_job_wanted = answer;
            started.send(()).unwrap();
            let _ = gate.recv();
        };
        workers.submit(HashQueue::Others, reply, work).unwrap();
        start.recv().unwrap();
        release
    }

    fn queue<T: Send + 'static>(
        workers: &Workers,
        work: impl FnOnce(&mut WorkMemory) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let (reply, answer) = oneshot::channel();
        workers
            .submit(HashQueue::Others, reply, work)
            .map(|()| answer)
    }

    #[test]
    fn full_queue_refuses_at_once_and_recovers() {
        let workers = Workers::start(1, 2, NEVER).unwrap();
        let busy = occupy(&workers);
        let waiting: Vec<_> = (0..2)
            .map(|n| queue(&workers, move |_| n).unwrap())
            .collect();
        assert!(queue(&workers, |_| ()).is_err());
        drop(busy);
        for (n, answer) in waiting.into_iter().enumerate() {
            assert_eq!(answer.blocking_recv(), Ok(n));
        }
        assert!(queue(&workers, |_| ()).is_ok());
    }

    #[test]
    fn flood_of_others_delays_each_known_job_by_at_most_one_and_takes_no_place() {
        let workers = Workers::start(1, 64, NEVER).unwrap();
        let busy = occupy(&workers);
        let (ran, runs) = mpsc::channel();
        let mut answers = Vec::new();
        let mut flood = |which, jobs: usize| {
            let admitted = (0..jobs).filter(|_| {
                let (reply, answer) = oneshot::channel();
                let ran = ran.clone();
                let queued = workers.submit(which, reply, move |_| ran.send(which).unwrap());
                answers.push(answer);
                queued.is_ok()
            });
            admitted.count()
        };
        assert_eq!(flood(HashQueue::Others, 500), 64);
        assert_eq!(flood(HashQueue::KnownNetworks, 8), 8);
        drop((busy, ran));
        let order: Vec<_> = runs.iter().take(72).collect();
        let last = order
            .iter()
            .rposition(|which| *which == HashQueue::KnownNetworks);
        assert!(last < Some(16), "{order:?}");
    }

    #[test]
    fn abandoned_job_never_runs() {
        let workers = Workers::start(1, 3, NEVER).unwrap();
        let busy = occupy(&workers);
        let (ran, runs) = mpsc::channel();
        let (abandoned_ran, wanted_ran) = (ran.clone(), ran);
        drop(queue(&workers, move |_| abandoned_ran.send("abandoned").unwrap()).unwrap());
        let wanted = queue(&workers, move |_| wanted_ran.send("wanted").unwrap()).unwrap();
        drop(busy);
        wanted.blocking_recv().unwrap();
        assert_eq!(runs.iter().collect::<Vec<_>>(), ["wanted"]);
    }

    #[test]
    fn abandoned_job_gives_up_its_place() {
        let workers = Workers::start(1, 1, NEVER).unwrap();
        let busy = occupy(&workers);
        drop(queue(&workers, |_| ()).unwrap());
        let wanted = queue(&workers, |_| ()).unwrap();
        drop(busy);
        assert_eq!(wanted.blocking_recv(), Ok(()));
    }

    #[test]
    fn panic_fails_only_its_own_job() {
        let workers = Workers::start(1, 1, NEVER).unwrap();
        let lost = queue(&workers, |memory| {
            memory.blocks(8);
            panic!("expected by this test");
        });
        assert!(lost.unwrap().blocking_recv().is_err());
        assert_eq!(queue(&workers, |_| 7).unwrap().blocking_recv(), Ok(7));
        assert_eq!(workers.held_bytes(), 0);
    }

    #[test]
    fn dropping_ends_the_threads_and_fails_waiting_jobs() {
        let workers = Workers::start(2, 8, NEVER).unwrap();
        let shared: Weak<Shared> = Arc::downgrade(&workers.shared);
        let busy = [occupy(&workers), occupy(&workers)];
        let waiting = queue(&workers, |_| ()).unwrap();
        // The drop waits for the running jobs, so they must end once it has closed the queue.
        let release = thread::spawn(move || {
            assert!(waiting.blocking_recv().is_err());
            drop(busy);
        });
        drop(workers);
        release.join().unwrap();
        assert_eq!(shared.strong_count(), 0);
    }

    #[test]
    fn memory_is_reused_between_jobs_and_freed_when_idle() {
        let workers = Workers::start(1, 1, NEVER).unwrap();
        let first = queue(&workers, |memory| memory.blocks(64).as_ptr().addr()).unwrap();
        let second_address = {
            let first = first.blocking_recv().unwrap();
            let second = queue(&workers, |memory| memory.blocks(64).as_ptr().addr()).unwrap();
            (first, second.blocking_recv().unwrap())
        };
        assert_eq!(second_address.0, second_address.1);
        assert_eq!(workers.held_bytes(), 64 * 1_024);

        let workers = Workers::start(1, 1, Duration::from_millis(5)).unwrap();
        let done = queue(&workers, |memory| memory.blocks(64).len()).unwrap();
        assert_eq!(done.blocking_recv(), Ok(64));
        let deadline = Instant::now() + Duration::from_secs(20);
        while workers.held_bytes() > 0 {
            assert!(Instant::now() < deadline, "the memory was never given back");
            thread::yield_now();
        }
        let again = queue(&workers, |memory| memory.blocks(64).len()).unwrap();
        assert_eq!(again.blocking_recv(), Ok(64));
    }
}
