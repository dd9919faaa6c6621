//! Guesses at one account from networks that it does not know: one a second, in the order of asking.
//!
//! Time goes by whole seconds, each of which is given to one site. Who asks while a second is free has it at
//! once. Who asks later is given the next one that is nobody's, is told when it comes, and has it when it comes
//! back then, whoever else asks meanwhile and however often. A site has one place in the line, so more addresses
//! of the same holder gain nothing.
//!
//! Where the line is full, those who ask take part in a lot: with each second that goes by, one of them is given
//! the place that came free. The tickets are numbered by a keyed hash of the site and the minute, so asking more
//! often wins nothing, and the lot needs to keep only the best.

use std::time::Duration;

use super::keys::Key;
use crate::app::ticks::Tick;

const SECOND: Duration = Duration::from_secs(1);

/// For how many places and tickets a line takes memory, as soon as anybody waits.
const USUAL: usize = 96;

/// How long the line is, and how long one may be late.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// How many sites wait. A place is a second, so the last of them waits for so many seconds.
    pub places: u32,
    /// For so many seconds a site that is late still has its place: people and scripts are.
    pub late_secs: u32,
}

/// A second that is a site's.
#[derive(Clone, Copy, Debug)]
struct Place {
    site: u64,
    second: u64,
}

/// A part in the lot. The least number wins.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    site: u64,
    minute: u64,
}

/// The line of one account, and of those that share its bucket.
#[derive(Debug, Default)]
struct Line {
    /// The first second that is nobody's yet.
    next: u64,
    places: Vec<Place>,
    lot: Vec<Ticket>,
}

/// A second that was used.
#[derive(Clone, Copy, Debug)]
#[must_use = "an attempt keeps it, to be able to give it back"]
pub(super) struct Used {
    account: Key,
    site: u64,
    second: u64,
}

/// A fixed number of lines, of at most 5 KiB each. Accounts that share one share its seconds.
#[derive(Debug)]
pub(super) struct Lines {
    limits: LineLimits,
    lines: Box<[Line]>,
}

impl Lines {
    pub(super) fn new(limits: LineLimits, lines: usize) -> Self {
        Self {
            limits,
            lines: (0..lines.max(1)).map(|_| Line::default()).collect(),
        }
    }

    fn line(&mut self, account: Key, second: u64) -> &mut Line {
        let index = account.index(self.lines.len());
        let line = &mut self.lines[index];
        line.advance(second, self.limits);
        line
    }

    /// How long `site` has to wait for a guess at `account`: nothing, or until the place that it has from now on.
    pub(super) fn wait(&mut self, account: Key, site: Key, now: Tick) -> Duration {
        let (limits, second) = (self.limits, now.count(SECOND));
        let line = self.line(account, second);
        if let Some(place) = line.place_of(site.tag()) {
            return start(place.second).since(now);
        }
        if line.next <= second {
            return Duration::ZERO;
        }
        if line.waiting(second) < u64::from(limits.places) {
            return start(line.give_place(site.tag())).since(now);
        }
        line.enter_lot(site.tag(), second, limits);
        SECOND * limits.places
    }

    /// Uses the second that [`wait`](Self::wait) found to have come.
    pub(super) fn use_second(&mut self, account: Key, site: Key, now: Tick) -> Used {
        let second = now.count(SECOND);
        let (line, site) = (self.line(account, second), site.tag());
        let place = line.place_of(site);
        line.places.retain(|place| place.site != site);
        // Who is late takes this second as well, where it is nobody's.
        let second = if line.next <= second {
            line.next = second + 1;
            second
        } else {
            place.map_or(second, |place| place.second)
        };
        Used {
            account,
            site,
            second,
        }
    }

    /// There was no guess: it was the right password. The second is free again, if it is not over.
    pub(super) fn give_back(&mut self, used: &Used, now: Tick) {
        let line = self.line(used.account, now.count(SECOND));
        if line.next == used.second + 1 {
            line.next = used.second;
        }
    }

    /// The guess was not made: the site may make it when it comes back.
    pub(super) fn keep_place(&mut self, used: &Used, now: Tick) {
        let (second, limits) = (now.count(SECOND), self.limits);
        let most = limits.places + 2 * limits.late_secs;
        let line = self.line(used.account, second);
        let is_full = line.places.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        if line.place_of(used.site).is_none() && !is_full {
            let site = used.site;
            line.push(Place { site, second });
        }
    }
}

impl Line {
    /// Forgets what is over, and draws a lot for each place that came free.
    fn advance(&mut self, second: u64, limits: LineLimits) {
        let late = u64::from(limits.late_secs);
        self.next = self.next.max(second);
        self.places.retain(|place| place.second + late >= second);
        let minute = minute(second, limits);
        // Who was told to come back in a minute does so in the next one.
        self.lot.retain(|ticket| ticket.minute + 1 >= minute);
        while self.waiting(second) < u64::from(limits.places) {
            let best = self.lot.iter().enumerate();
            let Some((best, _)) = best.min_by_key(|(_, ticket)| ticket.number) else {
                break;
            };
            let winner = self.lot.swap_remove(best);
            self.give_place(winner.site);
        }
        if self.places.is_empty() && self.lot.is_empty() {
            (self.places, self.lot) = (Vec::new(), Vec::new());
        }
    }

    fn place_of(&self, site: u64) -> Option<Place> {
        self.places.iter().copied().find(|place| place.site == site)
    }

    /// How many seconds after this one are given.
    fn waiting(&self, second: u64) -> u64 {
        self.next.saturating_sub(second + 1)
    }

    fn give_place(&mut self, site: u64) -> u64 {
        let second = self.next;
        self.push(Place { site, second });
        self.next += 1;
        second
    }

    /// All the memory at once, so that how many wait changes nothing.
    fn push(&mut self, place: Place) {
        self.places
            .reserve_exact(USUAL.saturating_sub(self.places.len()));
        self.places.push(place);
    }

    fn enter_lot(&mut self, site: u64, second: u64, limits: LineLimits) {
        let minute = minute(second, limits);
        let ticket = Ticket {
            number: mix(site, minute),
            site,
            minute,
        };
        if let Some(old) = self.lot.iter_mut().find(|ticket| ticket.site == site) {
            *old = ticket;
        } else if self.lot.len() < usize::try_from(limits.places).unwrap_or(usize::MAX) {
            self.lot.reserve_exact(USUAL.saturating_sub(self.lot.len()));
            self.lot.push(ticket);
        } else if let Some(worst) = self.lot.iter_mut().max_by_key(|ticket| ticket.number)
            && ticket.number < worst.number
        {
            *worst = ticket;
        }
    }
}

fn start(second: u64) -> Tick {
    Tick::default().plus(Duration::from_secs(second))
}

/// Not one of the clock: as long as the line.
fn minute(second: u64, limits: LineLimits) -> u64 {
    second / u64::from(limits.places).max(1)
}

/// A number that nobody can tell who does not know `site`, which is a keyed hash (`SplitMix64`).
fn mix(site: u64, minute: u64) -> u64 {
    let mut mixed = site ^ minute.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
