//! Throttles password guesses, in memory of a fixed size.
//!
//! | what is limited | from | delay |
//! |---|---|---|
//! | failures in a row for one account from one address | the 5th | 1 s, doubling to 15 min |
//! | guesses at one account from networks it does not know | the 2nd in a second | until the site's place in the queue comes, one a second: [`super::guess_queue`] |
//! | attempts from one address, refused ones included | the 21st at once | 10 a minute |
//! | attempts from one address being checked | the 3rd | waits for a permit, at most 2 s |
//!
//! An address is an IPv4 address or an IPv6 /64, a network is an IPv4 /24 or an IPv6 /64, and a site is an IPv4 /24
//! or an IPv6 /48. An IPv4-mapped IPv6 address counts as IPv4. An account knows a network for 30 days after its last
//! sign-in from there, or until its password is set or its user is deactivated. The store keeps known networks across
//! restarts. They have their own hashing queue, too.
//!
//! An attempt is charged as a failure before it is queued for its check, so parallel guesses gain nothing. A success
//! refunds the charge. A refused attempt still costs its address one attempt, unless the address limit refused it:
//! otherwise a client that polls would lock out everybody who shares its address.
//!
//! The tables are indexed by keyed hashes, so nobody can aim at a bucket and no name is stored. Each key has one
//! bucket. A key that collides with a bucket in use *joins* it: both are counted together, and a success refunds its
//! own charge only. So other keys can never weaken a limit. After a delay, failures are forgotten one at a time, each
//! after the longest delay, so waiting gains nothing and a flood over the whole table does not add up. Known and
//! unknown names are treated alike, because names are only hashed.
//!
//! Limitations: the state belongs to one process, and a restart forgets everything but the known networks. An attacker
//! with more sites than the queue has places makes it a lottery when somebody else gets in.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Throttled,
    concurrency::{ConcurrencyLimit, Permit},
    failures::{Backoff, Charge, Failures},
    guess_queue::{GuessQueues, QueueLimits, UsedSecond},
    keys::{Keyer, Keys},
    known_networks::KnownNetworks,
    ticks::{Tick, Ticks},
    token_bucket::KeyedBuckets,
};
use crate::domain::time::Timestamp;

/// The limits in the table above.
#[derive(Clone, Debug)]
pub struct ThrottleLimits {
    /// Delays for one account from one address.
    pub pair: Backoff,
    /// Limits for one account from all networks that it does not know.
    pub queue: QueueLimits,
    /// Number of queues; accounts that share one share its limit.
    pub queues: usize,
    /// How long an account knows a network after a sign-in; known networks are exempt from `queue`.
    pub known_for: Duration,
    /// Burst of attempts from one address.
    pub address_burst: u32,
    /// How long an address takes to regain one attempt.
    pub address_regain: Duration,
    /// Maximum number of attempts from an address that are being checked or are in the hasher's queue.
    pub checked: usize,
    /// Maximum number of attempts from an address that wait beyond those.
    pub waiting: usize,
    /// Maximum time that they wait.
    pub wait: Duration,
    /// Number of buckets in each of the other tables; each takes at most 24 bytes.
    pub buckets: usize,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self {
            pair: Backoff {
                free: 4,
                first: Duration::from_secs(1),
                most: Duration::from_mins(15),
            },
            queue: QueueLimits {
                places: 60,
                late_secs: 30,
            },
            queues: 1 << 12,
            known_for: Duration::from_hours(30 * 24),
            address_burst: 20,
            address_regain: Duration::from_secs(6),
            checked: 2,
            waiting: 16,
            wait: Duration::from_secs(2),
            buckets: 1 << 16,
        }
    }
}

/// Decides whether a sign-in may be attempted now.
#[derive(Debug)]
pub struct Throttle {
    keyer: Keyer,
    known: ConcurrencyLimit,
    others: ConcurrencyLimit,
    wait: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ticks: Ticks,
    pairs: Failures,
    queues: GuessQueues,
    addresses: KeyedBuckets,
    networks: KnownNetworks,
}

/// The charges of an attempt, apart from the one to its address.
#[derive(Clone, Copy, Debug)]
struct Charges {
    pair: Charge,
    queue: Option<UsedSecond>,
}

/// What was known about the network when the attempt began.
#[derive(Clone, Copy, Debug)]
struct NetworkStatus {
    /// The account knows the network.
    is_known: bool,
    /// The value of [`KnownNetworks::forgotten`] at that time.
    began: u64,
}

impl Throttle {
    /// Creates empty tables with a random key.
    pub fn new(limits: &ThrottleLimits) -> Self {
        let concurrency = || ConcurrencyLimit::new(limits.checked, limits.waiting);
        Self {
            keyer: Keyer::generate(),
            known: concurrency(),
            others: concurrency(),
            wait: limits.wait,
            state: Mutex::new(State {
                ticks: Ticks::default(),
                pairs: Failures::new(limits.pair, limits.buckets),
                queues: GuessQueues::new(limits.queue, limits.queues),
                addresses: KeyedBuckets::new(
                    limits.address_burst,
                    limits.address_regain,
                    limits.buckets,
                ),
                networks: KnownNetworks::new(limits.known_for, limits.buckets),
            }),
        }
    }

    /// Admits and charges an attempt on `account` from `ip`, or says when to try again. Waits for a permit of the
    /// address, at most 2 s of the runtime's time; an attempt that is abandoned while it waits was charged to its
    /// address only. Upper and lower case name the same account.
    ///
    /// Call it before the user is looked up, for known and unknown names alike.
    pub async fn admit(
        &self,
        account: &str,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Attempt<'_>, Throttled> {
        let keys = self.keyer.keys(account, ip);
        // Checked before waiting, so that an attempt that is refused anyway takes no place, and again afterwards.
        let network = self.lock().begin(&keys, now)?;
        let limit = if network.is_known {
            &self.known
        } else {
            &self.others
        };
        let permit = limit.take(keys.address, self.wait).await?;
        let now = now.plus(permit.waited());
        let mut state = self.lock();
        state.check(&keys, network, now)?;
        let charges = state.charge(&keys, network, now);
        drop(state);
        Ok(Attempt {
            throttle: self,
            keys,
            charges,
            network,
            _permit: permit,
        })
    }

    /// Makes `network` known to `account`, which signed in from it at `then`.
    pub fn know(&self, account: &str, network: IpNet, then: Timestamp, now: Timestamp) {
        let (account_key, key) = (
            self.keyer.account(account),
            self.keyer.network(account, network),
        );
        let mut state = self.lock();
        let (tick, began) = (state.ticks.at(now), state.networks.forgotten());
        let age = if then < now {
            now.since(then)
        } else {
            Duration::ZERO
        };
        state.networks.remember(account_key, key, tick, age, began);
    }

    /// Forgets all networks of `account`, after its password was set or its user deactivated. A sign-in that began
    /// earlier does not add a network when it succeeds.
    pub fn forget_networks(&self, account: &str) {
        let account = self.keyer.account(account);
        self.lock().networks.forget(account);
    }

    /// Ignores poisoning: nothing panics halfway through a change, and if it did, going on counting is the safe choice.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Charges the address and checks all limits.
    fn begin(&mut self, keys: &Keys, now: Timestamp) -> Result<NetworkStatus, Throttled> {
        let tick = self.ticks.at(now);
        refuse(self.addresses.wait(keys.address, tick))?;
        self.addresses.charge(keys.address, tick);
        let network = NetworkStatus {
            is_known: self.networks.contains(keys.network, tick),
            began: self.networks.forgotten(),
        };
        self.check(keys, network, now)?;
        Ok(network)
    }

    fn check(
        &mut self,
        keys: &Keys,
        network: NetworkStatus,
        now: Timestamp,
    ) -> Result<(), Throttled> {
        let tick = self.ticks.at(now);
        let mut wait = self.pairs.wait(keys.pair, tick);
        // A site that must wait anyway gets no place, which might pass before the site may use it.
        if wait.is_zero() && !network.is_known {
            wait = self.queues.wait(keys.account, keys.site, tick);
        }
        if !wait.is_zero() {
            wait = wait.max(self.addresses.wait(keys.address, tick));
        }
        refuse(wait)
    }

    fn charge(&mut self, keys: &Keys, network: NetworkStatus, now: Timestamp) -> Charges {
        let tick = self.ticks.at(now);
        let unknown = (!network.is_known).then_some(());
        Charges {
            pair: self.pairs.charge(keys.pair, tick),
            queue: unknown.map(|()| self.queues.use_second(keys.account, keys.site, tick)),
        }
    }

    fn refund(&mut self, keys: &Keys, pair: &Charge, tick: Tick) {
        self.pairs.refund(pair, tick);
        self.addresses.refund(keys.address, tick);
    }
}

fn refuse(wait: Duration) -> Result<(), Throttled> {
    if wait.is_zero() {
        Ok(())
    } else {
        Err(Throttled { retry_after: wait })
    }
}

/// An admitted and charged attempt. While it is held, it counts against the concurrency limit of its address. If it is
/// dropped without [`succeed`](Self::succeed) it stays charged, so that hanging up does not make a guess free.
#[derive(Debug)]
#[must_use = "dropping it at once lets the address's next attempt in beside this one"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    keys: Keys,
    charges: Charges,
    network: NetworkStatus,
    _permit: Permit<'a>,
}

impl Attempt<'_> {
    /// Whether the account has recently been signed in to from this network.
    pub const fn is_from_known_network(&self) -> bool {
        self.network.is_known
    }

    /// The password was right: refunds the charges, forgets the failures of this account from this address, and makes
    /// the network known. Returns whether the network should be stored.
    pub fn succeed(self, now: Timestamp) -> bool {
        let mut state = self.throttle.lock();
        let tick = state.ticks.at(now);
        state.refund(&self.keys, &self.charges.pair, tick);
        if let Some(used) = &self.charges.queue {
            state.queues.give_back(used, tick);
        }
        state.pairs.forgive(self.keys.pair, tick);
        let (account, network) = (self.keys.account, self.keys.network);
        let (age, began) = (Duration::ZERO, self.network.began);
        state.networks.remember(account, network, tick, age, began)
    }

    /// The password was never checked, because the queue was full or the store unavailable: refunds the charges.
    pub fn withdraw(self, now: Timestamp) {
        let mut state = self.throttle.lock();
        let tick = state.ticks.at(now);
        state.refund(&self.keys, &self.charges.pair, tick);
        if let Some(used) = &self.charges.queue {
            state.queues.keep_reservation(used, tick);
        }
    }
}

#[cfg(test)]
mod tests;
