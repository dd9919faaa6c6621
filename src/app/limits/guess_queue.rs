//! A fair queue for guesses at one account from networks that it does not know: one guess a second, first come, first
//! served.
//!
//! Each second belongs to one site. A site that asks while the present second is free gets it at once. Otherwise it
//! reserves the next free second, is told when that comes, and keeps the reservation however often others ask
//! meanwhile. A site has one place in the queue, so more addresses from the same site gain nothing.
//!
//! If the queue is full, the sites enter a lottery: each second, one of them wins the place that became free. Ticket
//! numbers are a keyed hash of the site and the minute, so asking more often does not help, and only the best tickets
//! need to be kept.

use std::time::Duration;

use super::{keys::Key, ticks::Tick};

const SECOND: Duration = Duration::from_secs(1);

/// How many places and tickets a queue allocates as soon as somebody waits.
const PREALLOCATED: usize = 96;

/// Length of the queue, and tolerance for being late.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Maximum number of sites in the queue. Each place is a second, so this is the longest wait in seconds, too.
    pub places: u32,
    /// How many seconds a site may be late and keep its place, because people and scripts are not punctual.
    pub late_secs: u32,
}

/// A second that is reserved for a site.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    site: u64,
    second: u64,
}

/// A ticket of the lottery. The lowest number wins.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    site: u64,
    minute: u64,
}

/// The queue of one account, and of those that share its bucket.
#[derive(Debug, Default)]
struct GuessQueue {
    /// The first free second.
    next: u64,
    places: Vec<Reservation>,
    tickets: Vec<Ticket>,
}

/// A second that an attempt has used.
#[derive(Clone, Copy, Debug)]
#[must_use = "an attempt keeps it, to be able to give it back"]
pub(super) struct UsedSecond {
    account: Key,
    site: u64,
    second: u64,
}

/// A fixed number of queues of at most 5 KiB each. Accounts that share a queue share its seconds.
#[derive(Debug)]
pub(super) struct GuessQueues {
    limits: QueueLimits,
    queues: Box<[GuessQueue]>,
}

impl GuessQueues {
    pub(super) fn new(limits: QueueLimits, queues: usize) -> Self {
        Self {
            limits,
            queues: (0..queues.max(1)).map(|_| GuessQueue::default()).collect(),
        }
    }

    fn queue(&mut self, account: Key, second: u64) -> &mut GuessQueue {
        let index = account.index(self.queues.len());
        let queue = &mut self.queues[index];
        queue.advance(second, self.limits);
        queue
    }

    /// How long `site` must wait for a guess at `account`. A site that must wait gets a place in the queue, or else a
    /// ticket.
    pub(super) fn wait(&mut self, account: Key, site: Key, now: Tick) -> Duration {
        let (limits, second) = (self.limits, now.count(SECOND));
        let queue = self.queue(account, second);
        if let Some(reserved) = queue.reserved_by(site.tag()) {
            return start(reserved.second).since(now);
        }
        if queue.next <= second {
            return Duration::ZERO;
        }
        if queue.waiting(second) < u64::from(limits.places) {
            return start(queue.reserve(site.tag())).since(now);
        }
        queue.enter_lottery(site.tag(), second, limits);
        SECOND * limits.places
    }

    /// Uses the site's second, after [`wait`](Self::wait) returned zero.
    pub(super) fn use_second(&mut self, account: Key, site: Key, now: Tick) -> UsedSecond {
        let second = now.count(SECOND);
        let (queue, site) = (self.queue(account, second), site.tag());
        let place = queue.reserved_by(site);
        queue.places.retain(|place| place.site != site);
        // A late site takes the present second if that is free.
        let second = if queue.next <= second {
            queue.next = second + 1;
            second
        } else {
            place.map_or(second, |place| place.second)
        };
        UsedSecond {
            account,
            site,
            second,
        }
    }

    /// The password was right, so it was no guess: frees the second again, if it is not over and no later one is taken.
    pub(super) fn give_back(&mut self, used: &UsedSecond, now: Tick) {
        let queue = self.queue(used.account, now.count(SECOND));
        if queue.next == used.second + 1 {
            queue.next = used.second;
        }
    }

    /// The password was not checked: the site keeps a place for when it tries again.
    pub(super) fn keep_reservation(&mut self, used: &UsedSecond, now: Tick) {
        let (second, limits) = (now.count(SECOND), self.limits);
        let most = limits.places + 2 * limits.late_secs;
        let queue = self.queue(used.account, second);
        let is_full = queue.places.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        if queue.reserved_by(used.site).is_none() && !is_full {
            let site = used.site;
            queue.push(Reservation { site, second });
        }
    }
}

impl GuessQueue {
    /// Drops expired places and tickets, and draws a winner for each place that became free.
    fn advance(&mut self, second: u64, limits: QueueLimits) {
        let late = u64::from(limits.late_secs);
        self.next = self.next.max(second);
        self.places.retain(|place| place.second + late >= second);
        let minute = minute(second, limits);
        // A site that was told to come back in a minute comes back in the next one.
        self.tickets.retain(|ticket| ticket.minute + 1 >= minute);
        while self.waiting(second) < u64::from(limits.places) {
            let best = self.tickets.iter().enumerate();
            let Some((best, _)) = best.min_by_key(|(_, ticket)| ticket.number) else {
                break;
            };
            let winner = self.tickets.swap_remove(best);
            self.reserve(winner.site);
        }
        if self.places.is_empty() && self.tickets.is_empty() {
            (self.places, self.tickets) = (Vec::new(), Vec::new());
        }
    }

    fn reserved_by(&self, site: u64) -> Option<Reservation> {
        self.places.iter().copied().find(|place| place.site == site)
    }

    /// How many seconds after this one are taken.
    fn waiting(&self, second: u64) -> u64 {
        self.next.saturating_sub(second + 1)
    }

    fn reserve(&mut self, site: u64) -> u64 {
        let second = self.next;
        self.push(Reservation { site, second });
        self.next += 1;
        second
    }

    /// Allocates for all places at once, so that the number of waiting sites does not change the memory.
    fn push(&mut self, place: Reservation) {
        self.places
            .reserve_exact(PREALLOCATED.saturating_sub(self.places.len()));
        self.places.push(place);
    }

    fn enter_lottery(&mut self, site: u64, second: u64, limits: QueueLimits) {
        let minute = minute(second, limits);
        let ticket = Ticket {
            number: mix(site, minute),
            site,
            minute,
        };
        if let Some(old) = self.tickets.iter_mut().find(|ticket| ticket.site == site) {
            *old = ticket;
        } else if self.tickets.len() < usize::try_from(limits.places).unwrap_or(usize::MAX) {
            self.tickets
                .reserve_exact(PREALLOCATED.saturating_sub(self.tickets.len()));
            self.tickets.push(ticket);
        } else if let Some(worst) = self.tickets.iter_mut().max_by_key(|ticket| ticket.number)
            && ticket.number < worst.number
        {
            *worst = ticket;
        }
    }
}

fn start(second: u64) -> Tick {
    Tick::default().plus(Duration::from_secs(second))
}

/// The period of the lottery. It is as long as the queue, which by default is a minute.
fn minute(second: u64, limits: QueueLimits) -> u64 {
    second / u64::from(limits.places).max(1)
}

/// A number that nobody can predict without `site`, which is a keyed hash (`SplitMix64`).
fn mix(site: u64, minute: u64) -> u64 {
    let mut mixed = site ^ minute.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
