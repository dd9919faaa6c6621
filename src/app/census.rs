//! Counting all tokens by their state, for the metrics. It goes through the whole table, so it is done in
//! chunks, and seldom: where it takes long, less often.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{self, Instant};

use crate::{metrics::TokenCounts, store::tokens};

use super::{App, Error};

/// How many rows a transaction looks at: few enough that no read waits behind it for long.
const CHUNK: i64 = 10_000;
/// What was counted so recently is not counted anew.
const EVERY: Duration = Duration::from_mins(1);
/// At most one part in so many of the time is spent counting.
const SHARE: u32 = 100;
/// How long one who asks waits for a count that is under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// When it was last counted, or begun.
#[derive(Debug, Default)]
pub(super) struct Census(Mutex<Option<Instant>>);

impl Census {
    /// Whether it is time to count; then it is the caller's part, and no other's for a while.
    fn is_due(&self) -> bool {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = next.is_none_or(|next| next <= now);
        if due {
            *next = Some(now + EVERY);
        }
        due
    }

    fn took(&self, time: Duration) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(Instant::now() + EVERY.max(time * SHARE));
    }
}

impl App {
    /// Counts all tokens anew for the metrics if the last count is old. Returns after a second at most; a
    /// count that takes longer goes on, and is told later.
    pub async fn recount_tokens(&self) {
        if !self.0.census.is_due() {
            return;
        }
        let app = self.clone();
        let count = tokio::spawn(async move {
            let begin = Instant::now();
            match app.count_tokens_by_state().await {
                Ok(counts) => app.metrics().tokens(counts),
                Err(error) => tracing::warn!(%error, "the tokens could not be counted"),
            }
            app.0.census.took(begin.elapsed());
        });
        // Neither a count that takes longer nor one that failed is the asker's concern.
        drop(time::timeout(PATIENCE, count).await);
    }

    async fn count_tokens_by_state(&self) -> Result<TokenCounts, Error> {
        let now = self.now();
        let last = self.read(|tx| Ok(tokens::last_row(tx)?)).await?;
        let mut sum = TokenCounts::default();
        let mut after = 0;
        while after < last {
            let chunk = self
                .read(move |tx| Ok(tokens::count_by_state(tx, now, after, after + CHUNK)?))
                .await?;
            sum.active += chunk.active;
            sum.disabled += chunk.disabled;
            sum.expired += chunk.expired;
            sum.deleted += chunk.deleted;
            after += CHUNK;
            tokio::task::yield_now().await;
        }
        Ok(sum)
    }
}
