//! Counts all tokens by state for the metrics. This scans the whole table, so it runs in chunks and at most once a
//! minute; the longer a count takes, the less often it runs.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{self, Instant};

use crate::{metrics::TokenCounts, store::tokens};

use crate::app::{App, Error};

/// How many rows one transaction scans: few enough that no read waits behind it for long.
const CHUNK: i64 = 10_000;
/// Minimum time between two counts.
const MIN_INTERVAL: Duration = Duration::from_mins(1);
/// The time between two counts is at least this many times what the last one took.
const INTERVAL_FACTOR: u32 = 100;
/// How long a metrics request waits for the count that it started.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// When the next count is due; `None`: now.
#[derive(Debug, Default)]
pub(in crate::app) struct TokenStats(Mutex<Option<Instant>>);

impl TokenStats {
    /// Whether a count is due. The caller that gets `true` must count; the others get `false` until the next is due.
    fn is_due(&self) -> bool {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = next.is_none_or(|next| next <= now);
        if due {
            *next = Some(now + MIN_INTERVAL);
        }
        due
    }

    fn set_duration(&self, time: Duration) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(Instant::now() + MIN_INTERVAL.max(time * INTERVAL_FACTOR));
    }
}

impl App {
    /// Counts all tokens for the metrics if a count is due. Returns after at most a second; a count that takes longer
    /// goes on in the background and shows in a later scrape.
    pub async fn recount_tokens(&self) {
        if !self.0.token_stats.is_due() {
            return;
        }
        let app = self.clone();
        let count = tokio::spawn(async move {
            let begin = Instant::now();
            match app.count_tokens_by_state().await {
                Ok(counts) => app.metrics().tokens(counts),
                Err(error) => tracing::warn!(%error, "cannot count the tokens"),
            }
            app.0.token_stats.set_duration(begin.elapsed());
        });
        // A timeout is fine, and the task logs its own failure.
        drop(time::timeout(MAX_WAIT, count).await);
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
            sum = sum.plus(chunk);
            after += CHUNK;
            tokio::task::yield_now().await;
        }
        Ok(sum)
    }
}
