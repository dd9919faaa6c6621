//! When and from where tokens were last used, without a write a request: uses are noted in memory, and a job
//! writes them down in one batch a minute.
//!
//! A use is a successful authentication or verification; what a local caller does is none. What a crash may
//! lose is what was noted since the last batch, nothing else hangs on it. It only goes forward: after the clock
//! was set back, a token keeps the later time until the clock has come there again.
//!
//! The room is bounded. When more tokens are in use than three quarters of it, the batch does not wait for
//! its minute; a token that finds no room even so is not noted until its next use.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    domain::{id::TokenId, time::Timestamp, token::LastUse},
    store::{self, tokens},
};

use super::{
    App, Error,
    shards::{ROOM, Shards},
};

const WINDOW: Duration = Duration::from_mins(1);

/// So many tokens in a shard are written before their minute is over.
const EARLY: usize = ROOM / 4 * 3;

/// How many tokens a transaction updates: few enough that no writer waits for long.
const CHUNK: usize = 256;

/// Who stops or waits for an answer does not wait longer for a store that takes no writes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Uses that are not yet written, the latest of each token.
#[derive(Debug)]
pub struct Usage {
    uses: Shards<HashMap<TokenId, LastUse>>,
    /// When they were last taken to be written.
    taken: Mutex<Timestamp>,
    /// Held while they are written: what was taken is in the store once it is free.
    writing: tokio::sync::Mutex<()>,
}

/// Which uses to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Those whose minute is over.
    Due,
    /// All that were noted before.
    Now,
}

impl Usage {
    /// With nothing in it, at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            uses: Shards::default(),
            taken: Mutex::new(now),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Notes a use, unless a later one is noted.
    pub fn note(&self, id: TokenId, last_use: LastUse) {
        let mut shard = self.uses.of(id);
        let has_room = shard.len() < ROOM;
        match shard.entry(id) {
            Entry::Occupied(mut known) => {
                if known.get().time <= last_use.time {
                    known.insert(last_use);
                }
            }
            Entry::Vacant(place) => {
                if has_room {
                    place.insert(last_use);
                }
            }
        }
    }

    /// Whether a use of it is noted and not written yet.
    pub(super) fn is_noted(&self, id: TokenId) -> bool {
        self.uses.of(id).contains_key(&id)
    }

    /// What is to be written now, by rising ID as the table is laid out: nothing before the minute is over,
    /// unless the room runs out.
    fn take(&self, now: Timestamp, which: Flush) -> Vec<(TokenId, LastUse)> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not make the minute longer.
        let over = now < *taken || now.since(*taken) >= WINDOW;
        if !over && which == Flush::Due && self.uses.iter().all(|shard| shard.len() < EARLY) {
            return Vec::new();
        }
        *taken = now;
        let shards = self
            .uses
            .iter()
            .map(|mut shard| std::mem::take(&mut *shard));
        let mut uses: Vec<_> = shards.flatten().collect();
        uses.sort_unstable_by_key(|(id, _)| *id);
        uses
    }
}

impl App {
    /// Writes down uses that were noted. No audit rows: what a token did has its own.
    ///
    /// # Errors
    /// The store failed. What was not written is kept for the next time.
    pub async fn flush_uses(&self, which: Flush) -> Result<(), Error> {
        let patience = match which {
            Flush::Due => WINDOW,
            Flush::Now => PATIENCE,
        };
        let overloaded = || Error::from(store::Error::Overloaded);
        let writing = tokio::time::timeout(patience, self.0.usage.writing.lock());
        let _writing = writing.await.map_err(|_| overloaded())?;
        let mut uses = self.0.usage.take(self.now(), which);
        while !uses.is_empty() {
            let chunk: Arc<[_]> = uses.split_off(uses.len().saturating_sub(CHUNK)).into();
            let batch = Arc::clone(&chunk);
            let written = self.write(move |tx| Ok(tokens::note_uses(tx, &batch)?));
            let written = tokio::time::timeout(patience, written).await;
            if let Err(error) = written.unwrap_or_else(|_| Err(overloaded())) {
                for (id, last_use) in uses.iter().chain(&*chunk) {
                    self.0.usage.note(*id, *last_use);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn id() -> TokenId {
        TokenId::generate(NOW)
    }

    #[test]
    fn the_latest_use_of_each_token_is_taken_once_a_minute_in_order() {
        let usage = Usage::new(NOW);
        let ids: Vec<_> = (0..100).map(|_| id()).collect();
        for seconds in [1, 3, 2] {
            for id in &ids {
                usage.note(*id, LastUse::seen(NOW.plus(SECOND * seconds), None));
            }
        }
        let almost = WINDOW.saturating_sub(Duration::from_micros(1));
        assert_eq!(usage.take(NOW.plus(almost), Flush::Due), []);
        let taken = usage.take(NOW.plus(WINDOW), Flush::Due);
        assert_eq!(taken.len(), ids.len());
        assert!(taken.is_sorted_by(|(a, _), (b, _)| a < b));
        let latest = NOW.plus(SECOND * 3);
        assert!(taken.iter().all(|(_, last)| last.time == latest));
        usage.note(ids[0], LastUse::seen(NOW.plus(WINDOW), None));
        assert_eq!(usage.take(NOW.plus(WINDOW + almost), Flush::Due), []);
        assert_eq!(usage.take(NOW.plus(WINDOW), Flush::Now).len(), 1);
        assert_eq!(usage.take(NOW.plus(WINDOW * 3), Flush::Due), []);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_writing() {
        let usage = Usage::new(NOW);
        let id = id();
        usage.note(id, LastUse::seen(NOW, None));
        let back = NOW.minus(Duration::from_hours(24));
        usage.note(id, LastUse::seen(back, None));
        let taken = usage.take(back, Flush::Due);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].1.time, NOW, "forward only");
        usage.note(id, LastUse::seen(back.plus(SECOND), None));
        assert_eq!(usage.take(back.plus(SECOND), Flush::Due), []);
        assert_eq!(usage.take(back.plus(WINDOW), Flush::Due).len(), 1);
    }

    #[test]
    fn a_full_room_is_emptied_early_and_never_outgrown() {
        let usage = Usage::new(NOW);
        for _ in 0..64 * EARLY / 2 {
            usage.note(id(), LastUse::seen(NOW, None));
        }
        assert_eq!(
            usage.take(NOW, Flush::Due),
            [],
            "100,000 tokens a minute fit"
        );
        let known = id();
        usage.note(known, LastUse::seen(NOW, None));
        for _ in 0..64 * ROOM * 2 {
            usage.note(id(), LastUse::seen(NOW, None));
        }
        usage.note(known, LastUse::seen(NOW.plus(SECOND), None));
        let taken = usage.take(NOW.plus(SECOND), Flush::Due);
        assert!(taken.len() <= 64 * ROOM, "{}", taken.len());
        let last = taken.iter().find(|(id, _)| *id == known);
        assert_eq!(last.map(|(_, last)| last.time), Some(NOW.plus(SECOND)));
        assert_eq!(usage.take(NOW.plus(SECOND), Flush::Now), []);
    }
}
