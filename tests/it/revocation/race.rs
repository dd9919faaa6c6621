//! Readers that check one token after the other and count the checks that should have failed.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{sync::Notify, task::JoinSet};

/// Checks whether a token is accepted, for the given reader.
pub(super) type Verify =
    Arc<dyn Fn(usize, String) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

const READERS: usize = 8;

/// The race for one token.
#[derive(Debug)]
struct Round {
    token: String,
    /// Whether its revocation was acknowledged.
    revoked: AtomicBool,
    /// The readers that found it valid before, and those that finished a check that started after.
    valid: [AtomicBool; READERS],
    found_valid: AtomicUsize,
    after: [AtomicBool; READERS],
}

#[derive(Debug, Default)]
struct Shared {
    round: Mutex<Option<Arc<Round>>>,
    ended: AtomicBool,
    wrong: AtomicUsize,
    checked: Notify,
    begun: Notify,
}

#[derive(Debug)]
pub(super) struct Race {
    shared: Arc<Shared>,
    least: usize,
    readers: JoinSet<()>,
}

impl Race {
    pub(super) fn start(verify: Verify) -> Self {
        let shared = Arc::new(Shared::default());
        let mut readers = JoinSet::new();
        for reader in 0..READERS {
            readers.spawn(read(reader, Arc::clone(&shared), Arc::clone(&verify)));
        }
        let least = 0;
        Self {
            shared,
            least,
            readers,
        }
    }

    /// Requires at least this many successful checks per token, which a slow machine might not reach otherwise.
    pub(super) const fn of_at_least(mut self, checks: usize) -> Self {
        self.least = checks;
        self
    }

    /// Revokes `token` while all readers check it; returns when each has finished a check that started after.
    pub(super) async fn round(&self, token: &str, revoke: impl Future<Output = ()>) {
        let round = Arc::new(Round {
            token: token.to_owned(),
            revoked: AtomicBool::new(false),
            valid: Default::default(),
            found_valid: AtomicUsize::new(0),
            after: Default::default(),
        });
        *self.shared.round.lock().unwrap() = Some(Arc::clone(&round));
        self.shared.begun.notify_waiters();
        self.until(|| {
            let by_all = round.valid.iter().all(|valid| valid.load(SeqCst));
            by_all && round.found_valid.load(SeqCst) >= self.least
        })
        .await;
        revoke.await;
        round.revoked.store(true, SeqCst);
        self.until(|| round.after.iter().all(|after| after.load(SeqCst)))
            .await;
        *self.shared.round.lock().unwrap() = None;
        // No reader still checks it when the test continues.
        self.until(|| Arc::strong_count(&round) == 1).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        while !reached() {
            self.shared.checked.notified().await;
        }
    }

    /// Stops the readers; returns the number of checks that should have failed.
    pub(super) async fn end(self) -> usize {
        self.shared.ended.store(true, SeqCst);
        self.shared.begun.notify_waiters();
        self.readers.join_all().await;
        self.shared.wrong.load(SeqCst)
    }
}

async fn read(reader: usize, shared: Arc<Shared>, verify: Verify) {
    while !shared.ended.load(SeqCst) {
        let mut begun = std::pin::pin!(shared.begun.notified());
        begun.as_mut().enable();
        let round = shared.round.lock().unwrap().clone();
        let Some(round) = round else {
            if !shared.ended.load(SeqCst) {
                begun.await;
            }
            continue;
        };
        let started_after = round.revoked.load(SeqCst);
        let valid = verify(reader, round.token.clone()).await;
        if started_after {
            round.after[reader].store(true, SeqCst);
            if valid {
                shared.wrong.fetch_add(1, SeqCst);
            }
        } else if valid {
            round.valid[reader].store(true, SeqCst);
            round.found_valid.fetch_add(1, SeqCst);
        }
        drop(round);
        shared.checked.notify_one();
    }
}
