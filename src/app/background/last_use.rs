//! Last uses of tokens, with time and address. They are kept in memory and written in batches once a minute, so that
//! no request needs a write.
//!
//! A use is a successful authentication or verification with a token. A crash loses the uses since the last batch,
//! and nothing depends on them. The time never goes back: if the clock is set back, a token keeps the later time until
//! the clock has caught up.
//!
//! The memory is bounded. Once a shard is three quarters full, the batch is written before its minute is over. A use
//! that finds its shard full is dropped.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    domain::{id::TokenId, time::Timestamp, token::LastUse},
    store::{self, tokens},
};

use crate::app::{
    App, Error,
    limits::shards::{MAX_PER_SHARD, Shards},
};

const FLUSH_INTERVAL: Duration = Duration::from_mins(1);

/// Number of tokens in a shard from which a batch is written before its minute is over.
const EARLY_FLUSH: usize = MAX_PER_SHARD / 4 * 3;

/// Maximum number of tokens updated per transaction: few enough that no writer waits for long.
const CHUNK: usize = 256;

/// How long a shutdown or a request waits for a store that takes no writes.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The latest use of each token that is not yet written.
#[derive(Debug)]
pub struct LastUses {
    uses: Shards<HashMap<TokenId, LastUse>>,
    /// When the last batch was taken.
    last_taken: Mutex<Timestamp>,
    /// Held during a flush, so that a second flush returns only after the first has written its batch.
    writing: tokio::sync::Mutex<()>,
}

/// When a flush writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Only if the minute is over or a shard is filling up.
    Due,
    /// At once.
    Now,
}

impl LastUses {
    /// Starts empty; the first minute begins at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            uses: Shards::default(),
            last_taken: Mutex::new(now),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Notes a use, unless a later one is noted already or the shard is full.
    pub fn note(&self, id: TokenId, last_use: LastUse) {
        let mut shard = self.uses.of(id);
        let has_capacity = shard.len() < MAX_PER_SHARD;
        match shard.entry(id) {
            Entry::Occupied(mut known) => {
                if known.get().time <= last_use.time {
                    known.insert(last_use);
                }
            }
            Entry::Vacant(vacant) => {
                if has_capacity {
                    vacant.insert(last_use);
                }
            }
        }
    }

    /// Whether a use of the token is noted but not yet written.
    pub(in crate::app) fn is_noted(&self, id: TokenId) -> bool {
        self.uses.of(id).contains_key(&id)
    }

    /// Takes the batch to write now, sorted by ID like the table. With [`Flush::Due`], it is empty until the minute is
    /// over or a shard is filling up.
    fn take(&self, now: Timestamp, which: Flush) -> Vec<(TokenId, LastUse)> {
        let mut last_taken = self
            .last_taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not prolong the minute.
        let over = now < *last_taken || now.since(*last_taken) >= FLUSH_INTERVAL;
        if !over && which == Flush::Due && self.uses.iter().all(|shard| shard.len() < EARLY_FLUSH) {
            return Vec::new();
        }
        *last_taken = now;
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
    /// Writes the noted uses. There is no audit row: what a token did has its own.
    ///
    /// # Errors
    /// The store failed. What was not written is kept for the next flush.
    pub async fn flush_uses(&self, which: Flush) -> Result<(), Error> {
        let max_wait = match which {
            Flush::Due => FLUSH_INTERVAL,
            Flush::Now => MAX_WAIT,
        };
        let overloaded = || Error::from(store::Error::Overloaded);
        let writing = tokio::time::timeout(max_wait, self.0.shared.last_uses.writing.lock());
        let _writing = writing.await.map_err(|_| overloaded())?;
        let mut uses = self.0.shared.last_uses.take(self.now(), which);
        while !uses.is_empty() {
            let chunk: Arc<[_]> = uses.split_off(uses.len().saturating_sub(CHUNK)).into();
            let batch = Arc::clone(&chunk);
            let written = self.write_unanswered(move |tx| Ok(tokens::record_uses(tx, &batch)?));
            let written = tokio::time::timeout(max_wait, written).await;
            if let Err(error) = written.unwrap_or_else(|_| Err(overloaded())) {
                for (id, last_use) in uses.iter().chain(&*chunk) {
                    self.0.shared.last_uses.note(*id, *last_use);
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
    fn latest_use_of_each_token_is_taken_once_a_minute_sorted_by_id() {
        let usage = LastUses::new(NOW);
        let ids: Vec<_> = (0..100).map(|_| id()).collect();
        for seconds in [1, 3, 2] {
            for id in &ids {
                usage.note(*id, LastUse::seen(NOW.plus(SECOND * seconds), None));
            }
        }
        let almost = FLUSH_INTERVAL.saturating_sub(Duration::from_micros(1));
        assert_eq!(usage.take(NOW.plus(almost), Flush::Due), []);
        let taken = usage.take(NOW.plus(FLUSH_INTERVAL), Flush::Due);
        assert_eq!(taken.len(), ids.len());
        assert!(taken.is_sorted_by(|(a, _), (b, _)| a < b));
        let latest = NOW.plus(SECOND * 3);
        assert!(taken.iter().all(|(_, last)| last.time == latest));
        usage.note(ids[0], LastUse::seen(NOW.plus(FLUSH_INTERVAL), None));
        assert_eq!(
            usage.take(NOW.plus(FLUSH_INTERVAL + almost), Flush::Due),
            []
        );
        assert_eq!(usage.take(NOW.plus(FLUSH_INTERVAL), Flush::Now).len(), 1);
        assert_eq!(usage.take(NOW.plus(FLUSH_INTERVAL * 3), Flush::Due), []);
    }

    #[test]
    fn clock_set_back_does_not_stop_the_batches() {
        let usage = LastUses::new(NOW);
        let id = id();
        usage.note(id, LastUse::seen(NOW, None));
        let back = NOW.minus(Duration::from_hours(24));
        usage.note(id, LastUse::seen(back, None));
        let taken = usage.take(back, Flush::Due);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].1.time, NOW, "forward only");
        usage.note(id, LastUse::seen(back.plus(SECOND), None));
        assert_eq!(usage.take(back.plus(SECOND), Flush::Due), []);
        assert_eq!(usage.take(back.plus(FLUSH_INTERVAL), Flush::Due).len(), 1);
    }

    #[test]
    fn batch_is_taken_early_when_shards_fill_up_and_memory_is_bounded() {
        let usage = LastUses::new(NOW);
        for _ in 0..64 * EARLY_FLUSH / 2 {
            usage.note(id(), LastUse::seen(NOW, None));
        }
        assert_eq!(
            usage.take(NOW, Flush::Due),
            [],
            "100,000 tokens a minute fit"
        );
        let known = id();
        usage.note(known, LastUse::seen(NOW, None));
        for _ in 0..64 * MAX_PER_SHARD * 2 {
            usage.note(id(), LastUse::seen(NOW, None));
        }
        usage.note(known, LastUse::seen(NOW.plus(SECOND), None));
        let taken = usage.take(NOW.plus(SECOND), Flush::Due);
        assert!(taken.len() <= 64 * MAX_PER_SHARD, "{}", taken.len());
        let last = taken.iter().find(|(id, _)| *id == known);
        assert_eq!(last.map(|(_, last)| last.time), Some(NOW.plus(SECOND)));
        assert_eq!(usage.take(NOW.plus(SECOND), Flush::Now), []);
    }
}
