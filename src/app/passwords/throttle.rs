//! How often one may guess passwords, in memory of a fixed size.
//!
//! | what is counted | from | delay |
//! |---|---|---|
//! | failures in a row of one account from one address | the 5th | 1 s, doubling to 15 min |
//! | guesses at one account from networks that are not known to it | the 2nd in a second | until its place in the line comes, one a second: [`line`] |
//! | attempts of one address, refused ones too | the 21st at once | 10 a minute |
//! | attempts of one address being checked | the 3rd | waits for its turn, at most 2 s |
//!
//! An address is an IPv4 address or an IPv6 /64, a network an IPv4 /24 or an IPv6 /64, a site an IPv4 /24 or an
//! IPv6 /48; an IPv4-mapped IPv6 address counts as IPv4. A network is known to an account for 30 days from its
//! last sign-in on, and until the password is set or the user deactivated; the store keeps them for the next
//! start. Known networks have hashing slots of their own, too.
//!
//! An attempt is charged as a failure before it is queued for its check, so many at once gain nothing, and the
//! charge is taken back when it succeeds. One that was refused costs its address one of its attempts, unless that
//! is what it was refused for: a neighbour that polls would else lock out whoever shares its address.
//!
//! The tables are indexed by keyed hashes, so nobody can aim at a bucket, and nothing stored tells a
//! name. A key has one bucket; one that falls on another's live bucket *joins* it: the two are counted
//! together, and a success then takes back its own charge only. So nothing that happens to other keys
//! makes a limit milder. Once a delay is over, failures are forgotten one at a time, each after the
//! longest delay: waiting for it gains nothing, and a flood over the whole table does not add up. Known and
//! unknown names are the same here: names are only hashed.
//!
//! What it does not do: it is one process's, and a restart forgets all but the known networks; and whoever may
//! ask from more sites than the line is long leaves it to the lot when somebody else gets in.

mod concurrency;
mod failures;
mod keys;
mod known_networks;
mod line;
mod rate;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use self::{
    concurrency::{ConcurrencyLimit, Permit},
    failures::{Charge, Failures},
    keys::{Keyer, Keys},
    known_networks::KnownNetworks,
    line::{Lines, Used},
    rate::Rate,
};
pub use self::{failures::Backoff, line::LineLimits};
use crate::{
    app::ticks::{Tick, Ticks},
    domain::time::Timestamp,
};

/// The numbers of the table above.
#[derive(Clone, Debug)]
pub struct ThrottleLimits {
    /// Of one account from one address.
    pub pair: Backoff,
    /// Of one account over all networks that it does not know.
    pub line: LineLimits,
    /// For how many accounts there is a line.
    pub lines: usize,
    /// A network that signed in to an account is spared `line` for so long.
    pub known_for: Duration,
    /// An address may try so often at once.
    pub address_burst: u32,
    /// It regains one attempt in so long.
    pub address_regain: Duration,
    /// Attempts of an address that are checked or queued for it at a time.
    pub checked: usize,
    /// Attempts of an address that may wait to be queued.
    pub waiting: usize,
    /// How long they wait.
    pub wait: Duration,
    /// Buckets in each other table; 24 bytes or less each.
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
            line: LineLimits {
                places: 60,
                late_secs: 30,
            },
            lines: 1 << 12,
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

/// Decides whether a password may be tried now.
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
    lines: Lines,
    addresses: Rate,
    networks: KnownNetworks,
}

/// What one attempt was charged, besides its address.
#[derive(Clone, Copy, Debug)]
struct Charges {
    pair: Charge,
    line: Option<Used>,
}

/// Whose attempt it is, as far as it matters.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// The account knows the network.
    is_known: bool,
    /// See [`KnownNetworks::forgotten`].
    began: u64,
}

impl Throttle {
    /// An empty table, its key drawn at random.
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
                lines: Lines::new(limits.line, limits.lines),
                addresses: Rate::new(limits.address_burst, limits.address_regain, limits.buckets),
                networks: KnownNetworks::new(limits.known_for, limits.buckets),
            }),
        }
    }

    /// Admits and charges an attempt on `account` from `ip`, or says when to come back. Waits for the
    /// address's turn (at most 2 s of the runtime's time); an attempt abandoned while it waits was
    /// charged to its address alone. Upper and lower case of the name are the same account.
    ///
    /// Call it before anything is looked up, for every name alike.
    pub async fn admit(
        &self,
        account: &str,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Attempt<'_>, Throttled> {
        let keys = self.keyer.keys(account, ip);
        // Asked twice: those who must not come anyway are not to wait in the way of others.
        let standing = self.lock().begin(&keys, now)?;
        let limit = if standing.is_known {
            &self.known
        } else {
            &self.others
        };
        let permit = limit.take(keys.address, self.wait).await?;
        let now = now.plus(permit.waited());
        let mut state = self.lock();
        state.check(&keys, standing, now)?;
        let charges = state.charge(&keys, standing, now);
        drop(state);
        Ok(Attempt {
            throttle: self,
            keys,
            charges,
            standing,
            _permit: permit,
        })
    }

    /// Takes up a network from which `account` was signed in to at `then`.
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

    /// Forgets all networks of `account`: its password was set, or its user deactivated. A sign-in that began
    /// before this adds none when it succeeds.
    pub fn forget_networks(&self, account: &str) {
        let account = self.keyer.account(account);
        self.lock().networks.forget(account);
    }

    /// Nothing in there panics half way; and were it so, counting on is the safe side.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Charges the address, and finds out whether there is anything to wait for.
    fn begin(&mut self, keys: &Keys, now: Timestamp) -> Result<Standing, Throttled> {
        let tick = self.ticks.at(now);
        refuse(self.addresses.wait(keys.address, tick))?;
        self.addresses.charge(keys.address, tick);
        let standing = Standing {
            is_known: self.networks.contains(keys.network, tick),
            began: self.networks.forgotten(),
        };
        self.check(keys, standing, now)?;
        Ok(standing)
    }

    fn check(&mut self, keys: &Keys, standing: Standing, now: Timestamp) -> Result<(), Throttled> {
        let tick = self.ticks.at(now);
        let mut wait = self.pairs.wait(keys.pair, tick);
        // Who must not come yet gets no place that would be over by then.
        if wait.is_zero() && !standing.is_known {
            wait = self.lines.wait(keys.account, keys.site, tick);
        }
        if !wait.is_zero() {
            wait = wait.max(self.addresses.wait(keys.address, tick));
        }
        refuse(wait)
    }

    fn charge(&mut self, keys: &Keys, standing: Standing, now: Timestamp) -> Charges {
        let tick = self.ticks.at(now);
        let unknown = (!standing.is_known).then_some(());
        Charges {
            pair: self.pairs.charge(keys.pair, tick),
            line: unknown.map(|()| self.lines.use_second(keys.account, keys.site, tick)),
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

/// An attempt that was admitted and charged. While it is held it counts among those of its address that are
/// checked; dropped without [`succeed`](Self::succeed), it stays charged, also where its caller went away: a
/// guess must not be free for those who hang up.
#[derive(Debug)]
#[must_use = "dropping it at once lets the address's next attempt in beside this one"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    keys: Keys,
    charges: Charges,
    standing: Standing,
    _permit: Permit<'a>,
}

impl Attempt<'_> {
    /// Whether the account was signed in to from this network of late.
    pub const fn is_from_known_network(&self) -> bool {
        self.standing.is_known
    }

    /// The password was right: takes the charge back, ends the row of failures of this account from
    /// this address, and makes its network known. Whether that is worth writing down.
    pub fn succeed(self, now: Timestamp) -> bool {
        let mut state = self.throttle.lock();
        let tick = state.ticks.at(now);
        state.refund(&self.keys, &self.charges.pair, tick);
        if let Some(used) = &self.charges.line {
            state.lines.give_back(used, tick);
        }
        state.pairs.forgive(self.keys.pair, tick);
        let (account, network) = (self.keys.account, self.keys.network);
        let (age, began) = (Duration::ZERO, self.standing.began);
        state.networks.remember(account, network, tick, age, began)
    }

    /// The password was never checked (the queue was full, the store was away): takes the charge back.
    pub fn withdraw(self, now: Timestamp) {
        let mut state = self.throttle.lock();
        let tick = state.ticks.at(now);
        state.refund(&self.keys, &self.charges.pair, tick);
        if let Some(used) = &self.charges.line {
            state.lines.keep_place(used, tick);
        }
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
