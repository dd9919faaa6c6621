//! Hashing and checking passwords without slowing anything else: on threads of their own, of low
//! priority, behind a bounded queue.
//!
//! It knows what a password is compared with, never whose it is: an unknown user is a check against
//! nobody's hash, the same job as any other.

mod workers;

use std::time::Duration;

use tokio::sync::oneshot;

pub use self::workers::Slots;
use self::workers::{WorkMemory, Workers};
use super::{
    hash::{self, Cost, PasswordHash, Target},
    policy::{self, NewPassword},
};
use crate::domain::secret::Secret;

/// What a hash costs, and how much of the machine hashing may take.
#[derive(Clone, Debug)]
pub struct HasherOptions {
    /// Work memory of a hash in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Threads, each with work memory of its own.
    pub threads: usize,
    /// Jobs that may wait in each of the [`Slots`]; one more is refused.
    pub queue: usize,
    /// A thread that had no job for so long gives its work memory back.
    pub idle: Duration,
}

impl Default for HasherOptions {
    /// OWASP's least argon2id (19 MiB, two passes) on one thread: a queue of 64 takes about 2 s, and 4 s
    /// where the other one is full, too.
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

/// Hashes and checks passwords. Its threads end when it is dropped, after at most one job each, which
/// the drop waits for.
#[derive(Debug)]
pub struct Hasher {
    cost: Cost,
    workers: Workers,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The password is the stored one. Never where nothing is stored.
    pub matches: bool,
    /// The stored hash costs less than new ones do: having matched, the password should be
    /// hashed anew ([`Hasher::rehash`]) and stored.
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

    /// Hashes a password that has just matched, at today's cost. The policy is not asked: it may have
    /// changed since the password was chosen.
    pub async fn rehash(&self, verified: &Secret) -> Result<PasswordHash, HasherError> {
        self.hash_normal(policy::normalize(verified)).await
    }

    async fn hash_normal(&self, password: Secret) -> Result<PasswordHash, HasherError> {
        let cost = self.cost.clone();
        // Whoever may set a password has signed in.
        self.run(Slots::KnownNetworks, move |memory| {
            hash::hash(&cost, &password, memory.blocks(cost.blocks()))
        })
        .await
    }

    /// Checks `password` against `stored` at the cost that `stored` was made at; without one (no such
    /// user, or one without a password), does the work of a check and answers that it does not match.
    pub async fn verify(
        &self,
        slots: Slots,
        password: &Secret,
        stored: Option<&PasswordHash>,
    ) -> Result<Verdict, HasherError> {
        let target = self.target(stored)?;
        let password = policy::normalize(password);
        let needs_rehash = target.cost().is_below(&self.cost);
        let matches = self
            .run(slots, move |memory| {
                target.matches(&password, memory.blocks(target.cost().blocks()))
            })
            .await?;
        Ok(Verdict {
            matches,
            needs_rehash: matches && needs_rehash,
        })
    }

    fn target(&self, stored: Option<&PasswordHash>) -> Result<Target, HasherError> {
        match stored {
            Some(stored) => stored.as_str().parse().map_err(|_| HasherError::Stored),
            None => Ok(Target::nobody(self.cost.clone())),
        }
    }

    /// Bytes of work memory that the threads hold now.
    pub fn held_bytes(&self) -> usize {
        self.workers.held_bytes()
    }

    /// A caller that goes away drops the receiver, by which the job is known to be abandoned.
    async fn run<T: Send + 'static>(
        &self,
        slots: Slots,
        work: impl FnOnce(&mut WorkMemory) -> T + Send + 'static,
    ) -> Result<T, HasherError> {
        let (reply, answer) = oneshot::channel();
        self.workers
            .queue(slots, reply, work)
            .map_err(|_| HasherError::Full)?;
        answer.await.map_err(|_| HasherError::Failed)
    }
}

/// Why the threads could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HasherStartError {
    /// Memory or passes outside what argon2 allows, or above 1 GiB or 64 passes.
    #[error("argon2id needs 8 to 1,048,576 KiB of memory and 1 to 64 passes")]
    Cost,
    /// No threads or no queue.
    #[error("at least one hashing thread and one place in its queue are needed")]
    Size,
    /// The system gave no thread.
    #[error("cannot start a hashing thread")]
    Thread(#[source] std::io::Error),
}

/// Why a password could not be hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HasherError {
    /// The queue is full; nothing was done. The caller should come back later.
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
    async fn the_right_password_matches_however_it_is_encoded() {
        let hasher = start(8, 1);
        let stored = stored(&hasher).await;
        let right = Verdict {
            matches: true,
            needs_rehash: false,
        };
        assert_eq!(
            hasher.verify(Slots::Others, &secret(), Some(&stored)).await,
            Ok(right)
        );
        let decomposed = Secret::new("vexed marmots juggle cafe\u{301}".to_owned());
        assert_eq!(
            hasher
                .verify(Slots::Others, &decomposed, Some(&stored))
                .await,
            Ok(right)
        );
        let wrong = Secret::new("vexed marmots juggle cafe".to_owned());
        assert!(
            !hasher
                .verify(Slots::Others, &wrong, Some(&stored))
                .await
                .unwrap()
                .matches
        );
    }

    #[tokio::test]
    async fn an_unknown_user_costs_the_same_work_and_never_matches() {
        let (unknown, known) = (start(64, 2), start(64, 2));
        let stored = stored(&start(64, 2)).await;
        let verdict = unknown
            .verify(Slots::Others, &secret(), None)
            .await
            .unwrap();
        assert_eq!(
            verdict,
            Verdict {
                matches: false,
                needs_rehash: false
            }
        );
        known
            .verify(Slots::Others, &secret(), Some(&stored))
            .await
            .unwrap();
        assert_eq!(unknown.held_bytes(), known.held_bytes());
        let somebody = known.target(Some(&stored)).unwrap();
        assert_eq!(unknown.target(None).unwrap().cost(), somebody.cost());
    }

    #[tokio::test]
    async fn hashes_of_another_cost_match_and_ask_for_a_rehash_only_if_cheaper() {
        let (weak, strong) = (start(8, 1), start(16, 2));
        let old = stored(&weak).await;
        let verdict = strong
            .verify(Slots::Others, &secret(), Some(&old))
            .await
            .unwrap();
        assert_eq!(
            verdict,
            Verdict {
                matches: true,
                needs_rehash: true
            }
        );
        let wrong = Secret::new("another".to_owned());
        let verdict = strong
            .verify(Slots::Others, &wrong, Some(&old))
            .await
            .unwrap();
        assert_eq!(
            verdict,
            Verdict {
                matches: false,
                needs_rehash: false
            }
        );
        let new = strong.rehash(&secret()).await.unwrap();
        assert_eq!(
            strong.verify(Slots::Others, &secret(), Some(&new)).await,
            weak.verify(Slots::Others, &secret(), Some(&new)).await
        );
    }

    #[tokio::test]
    async fn a_malformed_row_is_an_error_and_no_verdict() {
        let hasher = start(8, 1);
        let row = PasswordHash::from_row("$argon2id$v=19$m=8".to_owned());
        assert_eq!(
            hasher.verify(Slots::Others, &secret(), Some(&row)).await,
            Err(HasherError::Stored)
        );
    }

    #[test]
    fn useless_options_are_refused() {
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
