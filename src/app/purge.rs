//! Purging tokens that ended: those that ended longer than the retention ago, and those of a user beyond the
//! newest thousand; and known networks whose time is over. It does not trust a clock that jumped: what a wrong clock
//! takes for long ended, nothing brings back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    domain::time::Timestamp,
    store::{self, Tx, audit, meta, tokens},
};

use super::{App, Error, audit::system_event};

/// How many tokens a transaction purges: few enough that no writer waits for long.
const CHUNK: u32 = 500;
/// So many ended tokens of a user are kept, for as long as the retention.
const KEPT_OF_USER: u32 = 1_000;
/// How many users one read looks at.
const USERS: u32 = 20;
/// By how much the clock may be ahead of the last purge. A server that was off for longer needs a word of its
/// operator, too: nothing in the database tells that from a clock that is wrong.
const MAX_GAP: Duration = Duration::from_hours(7 * 24);

/// Whether an operator said that the clock is right, for the next purge.
#[derive(Debug, Default)]
pub(super) struct ClockWord(AtomicBool);

impl App {
    /// Says that the clock is right, however far it is ahead of the last purge. It counts for one purge: a
    /// later jump needs a word of its own.
    pub fn accept_clock(&self) {
        self.0.clock_word.0.store(true, Ordering::SeqCst);
    }

    /// Purges what ended long ago and what a user has too much of, a chunk a transaction, and says how many
    /// tokens that were: none where the clock has jumped.
    pub async fn purge(&self) -> Result<u64, Error> {
        if let Some(last) = self.check_clock().await? {
            let gap_days = self.now().since(last).as_secs() / 86_400;
            tracing::warn!(
                gap_days,
                "nothing is purged: the clock is {gap_days} days past the last purge or audit row. If it is right, start hallpass serve once with --accept-clock"
            );
            return Ok(0);
        }
        self.purge_networks().await?;
        let cutoff = self.now().minus(self.options().retention);
        let old = move |tx: &Tx<'_>| tokens::purge(tx, cutoff, CHUNK);
        let mut purged = self.purge_chunks("", old).await?;
        let mut after = None;
        loop {
            let now = self.now();
            let (users, next) = self
                .read(move |tx| Ok(tokens::find_overfull(tx, after, now, KEPT_OF_USER, USERS)?))
                .await?;
            for user in users {
                let more =
                    move |tx: &Tx<'_>| tokens::purge_ended(tx, user, now, KEPT_OF_USER, CHUNK);
                purged += self.purge_chunks(&user.to_string(), more).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(purged);
            }
        }
    }

    /// Purges by `chunk` until it finds no full chunk more.
    async fn purge_chunks(
        &self,
        target: &str,
        chunk: impl Fn(&Tx<'_>) -> Result<u64, store::Error> + Clone + Send + 'static,
    ) -> Result<u64, Error> {
        let mut purged = 0;
        loop {
            let now = self.now();
            let (chunk, target) = (chunk.clone(), target.to_owned());
            let removed = self
                .write(move |tx| {
                    let removed = chunk(tx)?;
                    if removed > 0 {
                        let mut event = system_event(now, "token.purge", &target);
                        event.count = u32::try_from(removed).unwrap_or(u32::MAX);
                        audit::append(tx, event)?;
                    }
                    Ok(removed)
                })
                .await?;
            purged += removed;
            if removed < u64::from(CHUNK) {
                return Ok(purged);
            }
            tokio::task::yield_now().await;
        }
    }

    /// When the last purge was, if the clock has jumped since. Else that is now.
    ///
    /// The time is stored: a wrong clock writes audit rows, too, which after a restart would bear it out.
    /// Before there was any purge, the newest audit row stands for it.
    async fn check_clock(&self) -> Result<Option<Timestamp>, Error> {
        let now = self.now();
        let accepted = self.0.clock_word.0.load(Ordering::SeqCst);
        let jumped = self
            .write(move |tx| {
                let last = match meta::purge_time(tx)? {
                    Some(time) => Some(time),
                    None => audit::newest_time(tx)?,
                };
                match last {
                    Some(last) if !accepted && now.since(last) > MAX_GAP => Ok(Some(last)),
                    _ => {
                        meta::set_purge_time(tx, now)?;
                        Ok(None)
                    }
                }
            })
            .await?;
        if jumped.is_none() {
            self.0.clock_word.0.store(false, Ordering::SeqCst);
        }
        Ok(jumped)
    }
}
