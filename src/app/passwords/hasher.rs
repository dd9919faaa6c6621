//! Hashes and checks passwords on dedicated low-priority threads behind bounded queues, so that nothing else slows
//! down.
//!
//! It does not know whose password it checks. An unknown user is checked against a dummy hash, which is the same
//! job as any other.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    hash::{self, Cost, PasswordHash, Target},
    hashing_thread::WorkMemory,
    policy::{self, NewPassword},
    workers::{HashQueue, Workers},
};
use crate::domain::secret::Secret;

/// The cost of a hash, and the resources that hashing may use.
#[derive(Clone, Debug)]
pub struct HasherOptions {
    /// Work memory per hash in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Number of threads, each with its own work memory.
    pub threads: usize,
    /// Maximum number of jobs waiting in each [`HashQueue`]; more are refused.
    pub queue: usize,
    /// How long a thread may be idle before it frees its work memory.
    pub idle: Duration,
}

impl Default for HasherOptions {
    /// OWASP's minimum for argon2id (19 MiB, two passes) on one thread. A full queue of 64 takes about 2 s, or 4 s if
    /// the other queue is full, too.
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            threads: 1,
            queue: 64,
            idle: Duration::from_mins(1),
        }
    }
}

/// Hashes and checks passwords. Dropping it ends its threads; the drop waits for the job that each is running.
#[derive(Debug)]
pub struct Hasher {
    cost: Cost,
    workers: Workers,
}

/// The result of checking a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCheck {
    /// The password is the stored one. Always false if none is stored.
    pub matches: bool,
    /// The password matched, but its stored hash costs less than new ones: rehash it ([`Hasher::rehash`]) and store
    /// the result.
    pub needs_rehash: bool,
}

impl Hasher {
    /// Starts the threads.
    pub fn start(options: &HasherOptions) -> Result<Self, HasherStartError> {
        let cost =
            Cost::new(options.memory_kib, options.passes).map_err(|_| HasherStartError::Cost)?;
        if options.threads == 0 || options.queue == 0 {
            return Err(HasherStartError::Size);
        }
        let workers = Workers::start(options.threads, options.queue, options.idle)
            .map_err(HasherStartError::Thread)?;
        Ok(Self { cost, workers })
    }

    /// Hashes a new password.
    pub async fn hash(&self, password: NewPassword) -> Result<PasswordHash, HasherError> {
        self.hash_normal(password.into_normal()).await
    }

    /// Hashes a password that has just matched, with the current cost. The password policy is not applied, because it
    /// may have changed since the password was chosen.
    pub async fn rehash(&self, verified: &Secret) -> Result<PasswordHash, HasherError> {
        self.hash_normal(policy::normalize(verified)).await
    }

    async fn hash_normal(&self, password: Secret) -> Result<PasswordHash, HasherError> {
        let cost = self.cost.clone();
        // Whoever may set a password is authenticated, so the job belongs in the queue of known networks.
        self.run(HashQueue::KnownNetworks, move |memory| {
            hash::hash(&cost, &password, memory.blocks(cost.blocks()))
        })
        .await
    }

    /// Checks `password` against `stored`, at the cost of that hash. If there is none, because the user is unknown or
    /// has no password, it does the same work and reports no match.
    pub async fn verify(
        &self,
        queue: HashQueue,
        password: &Secret,
        stored: Option<&PasswordHash>,
    ) -> Result<PasswordCheck, HasherError> {
        let target = self.target(stored)?;
        let password = policy::normalize(password);
        let needs_rehash = target.cost().is_below(&self.cost);
        let matches = self
            .run(queue, move |memory| {
                target.matches(&password, memory.blocks(target.cost().blocks()))
            })
            .await?;
        Ok(PasswordCheck {
            matches,
            needs_rehash: matches && needs_rehash,
        })
    }

    fn target(&self, stored: Option<&PasswordHash>) -> Result<Target, HasherError> {
        match stored {
            Some(stored) => stored.as_str().parse().map_err(|_| HasherError::Stored),
            None => Ok(Target::dummy(self.cost.clone())),
        }
    }

    /// Bytes of work memory that the threads hold now.
    pub fn held_bytes(&self) -> usize {
        self.workers.held_bytes()
    }

    /// Runs `work` on a hashing thread. A caller that goes away drops the receiver, which marks the job as abandoned.
    async fn run<T: Send + 'static>(
        &self,
        queue: HashQueue,
        work: impl FnOnce(&mut WorkMemory) -> T + Send + 'static,
    ) -> Result<T, HasherError> {
        let (reply, received) = oneshot::channel();
        self.workers
            .submit(queue, reply, work)
            .map_err(|_| HasherError::Full)?;
        received.await.map_err(|_| HasherError::Failed)
    }
}

/// Why the threads could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HasherStartError {
    /// The memory or the passes are outside of what argon2 allows, or above 1 GiB or 64 passes.
    #[error("argon2id needs 8 to 1,048,576 KiB of memory and 1 to 64 passes")]
    Cost,
    /// The number of threads or the size of the queue is zero.
    #[error("at least one hashing thread and a queue of at least one job are needed")]
    Size,
    /// The operating system refused a thread.
    #[error("cannot start a hashing thread")]
    Thread(#[source] std::io::Error),
}

/// Why a password could not be hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HasherError {
    /// The queue is full and nothing was done; try again later.
    #[error("too many passwords are being checked")]
    Full,
    /// The stored hash is not one that Hallpass writes.
    #[error("the stored password hash is malformed")]
    Stored,
    /// The job panicked.
    #[error("hashing failed")]
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(memory_kib: u32, passes: u32) -> Hasher {
        Hasher::start(&HasherOptions {
            memory_kib,
            passes,
            ..HasherOptions::default()
        })
        .unwrap()
    }

    fn secret() -> Secret {
        Secret::new("vexed marmots juggle caf\u{e9}".to_owned())
    }

    async fn stored(hasher: &Hasher) -> PasswordHash {
        let password = NewPassword::parse(&secret(), "alice").unwrap();
        hasher.hash(password).await.unwrap()
    }

    #[tokio::test]
    async fn password_matches_in_any_unicode_encoding() {
        let hasher = start(8, 1);
        let stored = stored(&hasher).await;
        let right = PasswordCheck {
            matches: true,
            needs_rehash: false,
        };
        assert_eq!(
            hasher
                .verify(HashQueue::Others, &secret(), Some(&stored))
                .await,
            Ok(right)
        );
        let decomposed = Secret::new("vexed marmots juggle cafe\u{301}".to_owned());
        assert_eq!(
            hasher
                .verify(HashQueue::Others, &decomposed, Some(&stored))
                .await,
            Ok(right)
        );
        let wrong = Secret::new("vexed marmots juggle cafe".to_owned());
        assert!(
            !hasher
                .verify(HashQueue::Others, &wrong, Some(&stored))
                .await
                .unwrap()
                .matches
        );
    }

    #[tokio::test]
    async fn unknown_user_costs_the_same_work_and_never_matches() {
        let (unknown, known) = (start(64, 2), start(64, 2));
        let stored = stored(&start(64, 2)).await;
        let verdict = unknown
            .verify(HashQueue::Others, &secret(), None)
            .await
            .unwrap();
        assert_eq!(
            verdict,
            PasswordCheck {
                matches: false,
                needs_rehash: false
            }
        );
        known
            .verify(HashQueue::Others, &secret(), Some(&stored))
            .await
            .unwrap();
        assert_eq!(unknown.held_bytes(), known.held_bytes());
        let somebody = known.target(Some(&stored)).unwrap();
        assert_eq!(unknown.target(None).unwrap().cost(), somebody.cost());
    }

    #[tokio::test]
    async fn hashes_of_another_cost_match_and_only_cheaper_ones_need_a_rehash() {
        let (weak, strong) = (start(8, 1), start(16, 2));
        let old = stored(&weak).await;
        let verdict = strong
            .verify(HashQueue::Others, &secret(), Some(&old))
            .await
            .unwrap();
        assert_eq!(
            verdict,
            PasswordCheck {
                matches: true,
                needs_rehash: true
            }
        );
        let wrong = Secret::new("another".to_owned());
        let verdict = strong
            .verify(HashQueue::Others, &wrong, Some(&old))
            .await
            .unwrap();
        assert_eq!(
            verdict,
            PasswordCheck {
                matches: false,
                needs_rehash: false
            }
        );
        let new = strong.rehash(&secret()).await.unwrap();
        assert_eq!(
            strong
                .verify(HashQueue::Others, &secret(), Some(&new))
                .await,
            weak.verify(HashQueue::Others, &secret(), Some(&new)).await
        );
    }

    #[tokio::test]
    async fn malformed_row_is_an_error_not_a_mismatch() {
        let hasher = start(8, 1);
        let row = PasswordHash::from_row("$argon2id$v=19$m=8".to_owned());
        assert_eq!(
            hasher
                .verify(HashQueue::Others, &secret(), Some(&row))
                .await,
            Err(HasherError::Stored)
        );
    }

    #[test]
    fn invalid_options_are_refused() {
        for (memory_kib, threads, queue) in [(7, 1, 1), (1 << 21, 1, 1), (8, 0, 1), (8, 1, 0)] {
            let options = HasherOptions {
                memory_kib,
                threads,
                queue,
                ..HasherOptions::default()
            };
            assert!(Hasher::start(&options).is_err());
        }
    }
}
