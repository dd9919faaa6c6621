//! How often one may guess passwords: three limits and a queue, all in memory of a fixed size.
//!
//! | what is counted | from | delay |
//! |---|---|---|
//! | failures in a row of one account from one address | the 5th | 1 s, doubling to 15 min |
//! | failures of one account over all addresses | the 10th | 1 s, doubling to 60 s; none for places that signed in to it within 30 days |
//! | failures of one address | the 21st at once | 10 a minute |
//! | attempts of one address being checked | the 3rd | waits for its turn, at most 2 s |
//!
//! An address is an IPv4 address or an IPv6 /64, a place an IPv4 /24 or an IPv6 /64; an IPv4-mapped
//! IPv6 address counts as IPv4. An attempt is charged as a failure before its password is checked, so
//! many at once gain nothing, and the charge is taken back when it succeeds. An attempt that was
//! refused is not charged: it had no check.
//!
//! The tables are indexed by keyed hashes, so nobody can aim at a bucket, and nothing stored tells a
//! name. A key has one bucket; one that falls on another's live bucket *joins* it: the two are counted
//! together, and a success then takes back its own charge only. So nothing that happens to other keys
//! makes a limit milder. Once a delay is over, failures are forgotten one at a time, each after the
//! longest delay: waiting for it gains nothing, and a flood over the whole table does not add up. Known and unknown names are the same here: names are only hashed.
//!
//! What it does not do: it is one process's, and a restart forgets it; whoever may fail from very many
//! addresses can make an account's new places wait 60 s, not more.

mod failures;
mod keys;
mod places;
mod rate;
mod turns;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::failures::Backoff;
use self::{
    failures::{Charge, Failures},
    keys::{Key, Keyer},
    places::Places,
    rate::Rate,
    turns::{Turn, Turns},
};
use crate::{
    app::ticks::{Tick, Ticks},
    domain::time::Timestamp,
};

/// The numbers of the table above.
#[derive(Clone, Debug)]
pub struct ThrottleLimits {
    /// Of one account from one address.
    pub pair: Backoff,
    /// Of one account over all addresses.
    pub account: Backoff,
    /// An address that signed in to an account is spared `account` for so long.
    pub spared_for: Duration,
    /// An address may fail so often at once.
    pub address_burst: u32,
    /// It regains one failure in so long.
    pub address_regain: Duration,
    /// Attempts of an address that are checked or queued for it at a time.
    pub turns: usize,
    /// Attempts of an address that may wait for such a turn.
    pub waiting: usize,
    /// How long they wait.
    pub wait: Duration,
    /// Buckets in each table; 24 bytes or less each.
    pub buckets: usize,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            pair: Backoff {
                free: 4,
                first: second,
                most: Duration::from_mins(15),
            },
            account: Backoff {
                free: 9,
                first: second,
                most: Duration::from_mins(1),
            },
            spared_for: Duration::from_hours(30 * 24),
            address_burst: 20,
            address_regain: Duration::from_secs(6),
            turns: 2,
            waiting: 16,
            wait: Duration::from_secs(2),
            buckets: 1 << 16,
        }
    }
}

/// Decides whether a password may be tried now.
#[derive(Debug)]
pub struct Throttle {
    keyer: Keyer,
    turns: Turns,
    wait: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ticks: Ticks,
    pairs: Failures,
    accounts: Failures,
    addresses: Rate,
    places: Places,
}

/// The keys of one attempt.
#[derive(Clone, Copy, Debug)]
struct Keys {
    account: Key,
    address: Key,
    pair: Key,
    place: Key,
}

/// What one attempt was charged.
#[derive(Clone, Copy, Debug)]
struct Charges {
    pair: Charge,
    account: Charge,
    address: Key,
}

impl Throttle {
    /// An empty table, its key drawn at random.
    pub fn new(limits: &ThrottleLimits) -> Self {
        Self {
            keyer: Keyer::generate(),
            turns: Turns::new(limits.turns, limits.waiting),
            wait: limits.wait,
            state: Mutex::new(State {
                ticks: Ticks::default(),
                pairs: Failures::new(limits.pair, limits.buckets),
                accounts: Failures::new(limits.account, limits.buckets),
                addresses: Rate::new(limits.address_burst, limits.address_regain, limits.buckets),
                places: Places::new(limits.spared_for, limits.buckets),
            }),
        }
    }

    /// Admits and charges an attempt on `account` from `ip`, or says when to come back. Waits for the
    /// address's turn (at most 2 s of the runtime's time); an attempt abandoned while it waits was not
    /// charged. Upper and lower case of the name are the same account.
    ///
    /// Call it before anything is looked up, for every name alike.
    pub async fn admit(
        &self,
        account: &str,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Attempt<'_>, Throttled> {
        let keys = self.keyer.keys(account, ip);
        // Asked twice: those who must not come anyway are not to take up places in the queue.
        self.lock().check(&keys, now)?;
        let turn = self.turns.take(keys.address, self.wait).await?;
        let now = now.plus(turn.waited());
        let mut state = self.lock();
        state.check(&keys, now)?;
        let charges = state.charge(&keys, now);
        drop(state);
        Ok(Attempt {
            throttle: self,
            keys,
            charges,
            _turn: turn,
        })
    }

    /// Nothing in there panics half way; and were it so, counting on is the safe side.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&mut self, keys: &Keys, now: Timestamp) -> Result<(), Throttled> {
        let tick = self.ticks.at(now);
        let mut wait = self
            .pairs
            .wait(keys.pair, tick)
            .max(self.addresses.wait(keys.address, tick));
        if !self.places.has(keys.place, tick) {
            wait = wait.max(self.accounts.wait(keys.account, tick));
        }
        if wait.is_zero() {
            Ok(())
        } else {
            Err(Throttled { retry_after: wait })
        }
    }

    fn charge(&mut self, keys: &Keys, now: Timestamp) -> Charges {
        let tick = self.ticks.at(now);
        self.addresses.charge(keys.address, tick);
        Charges {
            pair: self.pairs.charge(keys.pair, tick),
            account: self.accounts.charge(keys.account, tick),
            address: keys.address,
        }
    }

    fn refund(&mut self, charges: &Charges, tick: Tick) {
        self.pairs.refund(&charges.pair, tick);
        self.accounts.refund(&charges.account, tick);
        self.addresses.refund(charges.address, tick);
    }
}

/// An attempt that was admitted and charged. It holds one of its address's turns until it is dropped;
/// dropped without [`succeed`](Self::succeed), it stays charged, also where its caller went away: a
/// guess must not be free for those who hang up.
#[derive(Debug)]
#[must_use = "dropping it at once lets the address's next attempt in beside this one"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    keys: Keys,
    charges: Charges,
    _turn: Turn<'a>,
}

impl Attempt<'_> {
    /// The password was right: takes the charge back, ends the row of failures of this account from
    /// this address, and spares its place this account's delay from now on.
    pub fn succeed(self, now: Timestamp) {
        let mut state = self.throttle.lock();
        let tick = state.ticks.at(now);
        state.refund(&self.charges, tick);
        state.pairs.forgive(self.keys.pair, tick);
        state.places.remember(self.keys.place, tick);
    }

    /// The password was never checked (the queue was full, the store was away): takes the charge back.
    pub fn withdraw(self, now: Timestamp) {
        let mut state = self.throttle.lock();
        let tick = state.ticks.at(now);
        state.refund(&self.charges, tick);
    }
}

/// Too many attempts. The same for every name, whether there is such a user or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-in attempts")]
pub struct Throttled {
    /// When one may be admitted again; never zero.
    pub retry_after: Duration,
}

#[cfg(test)]
mod tests;
