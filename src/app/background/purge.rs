//! Purges ended tokens: those that ended before the retention period, and all but the newest thousand of each user.
//! Old known networks go, too, and old rows of the audit log. Nothing is purged after the clock has jumped ahead,
//! because a purge by a wrong clock cannot be undone.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    domain::{audit::AuditEvent, time::Timestamp},
    store::{self, Tx, audit, meta, tokens},
};

use crate::app::{App, Error, audit::system_event};

/// Maximum number of tokens purged per transaction: few enough that no writer waits for long.
const CHUNK: u32 = 500;
/// Maximum number of ended tokens kept per user, within the retention period.
const MAX_ENDED_PER_USER: u32 = 1_000;
/// Maximum number of users checked per read.
const USERS_PER_READ: u32 = 20;
/// How far the clock may be ahead of the last purge. After a longer downtime the operator must confirm the clock,
/// too, because the database cannot tell a downtime from a wrong clock.
const MAX_GAP: Duration = Duration::from_hours(7 * 24);

/// How far the time by which audit rows are purged may move at a purge.
const MAX_AUDIT_STEP: Duration = Duration::from_hours(24);

/// Whether the clock may be trusted.
#[derive(Clone, Copy, Debug)]
enum ClockCheck {
    /// It has jumped since the last purge, which was at this time.
    Jumped(Timestamp),
    /// It has not. Audit rows are purged as if it were this time.
    Trusted(Timestamp),
}

/// Whether the operator confirmed the clock for the next purge.
#[derive(Debug, Default)]
pub(in crate::app) struct ClockConfirmation(AtomicBool);

impl App {
    /// Confirms the clock, however far it is ahead of the last purge. This counts for one purge only; a later jump must
    /// be confirmed again.
    pub fn accept_clock(&self) {
        self.0.clock_confirmation.0.store(true, Ordering::SeqCst);
    }

    /// Purges old ended tokens, and the ended tokens that a user has too many of, one chunk per transaction. Returns
    /// how many tokens it purged, which is 0 after the clock has jumped.
    pub async fn purge(&self) -> Result<u64, Error> {
        let trusted = match self.check_clock().await? {
            ClockCheck::Trusted(time) => time,
            ClockCheck::Jumped(last) => return Ok(self.warn_of_clock(last)),
        };
        self.purge_networks().await?;
        let purged = self.purge_tokens().await?;
        self.purge_audit(trusted).await?;
        Ok(purged)
    }

    async fn purge_tokens(&self) -> Result<u64, Error> {
        let cutoff = self.now().minus(self.options().retention);
        let old = move |tx: &Tx<'_>| tokens::purge(tx, cutoff, CHUNK);
        let mut purged = self.purge_chunks("", old).await?;
        let mut after = None;
        loop {
            let now = self.now();
            let (users, next) = self
                .read(move |tx| {
                    Ok(tokens::find_users_over_limit(
                        tx,
                        after,
                        now,
                        MAX_ENDED_PER_USER,
                        USERS_PER_READ,
                    )?)
                })
                .await?;
            for user in users {
                let more = move |tx: &Tx<'_>| {
                    tokens::purge_ended(tx, user, now, MAX_ENDED_PER_USER, CHUNK)
                };
                purged += self.purge_chunks(&user.to_string(), more).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(purged);
            }
        }
    }

    fn warn_of_clock(&self, last: Timestamp) -> u64 {
        let gap_days = self.now().since(last).as_secs() / 86_400;
        tracing::warn!(
            gap_days,
            "nothing is purged: the clock is {gap_days} days past the last purge or audit row. If it is right, start hallpass serve once with --accept-clock"
        );
        0
    }

    /// Runs `chunk` until it purges less than a full chunk, with one audit row per transaction.
    async fn purge_chunks(
        &self,
        target: &str,
        chunk: impl Fn(&Tx<'_>) -> Result<u64, store::Error> + Clone + Send + 'static,
    ) -> Result<u64, Error> {
        let mut purged = 0;
        loop {
            let now = self.now();
            let (chunk, event) = (chunk.clone(), system_event(now, "token.purge", target));
            let removed = self
                .write_unanswered(move |tx| {
                    let removed = chunk(tx)?;
                    if removed > 0 {
                        let count = u32::try_from(removed).unwrap_or(u32::MAX);
                        let event = event.clone();
                        audit::append(tx, AuditEvent { count, ..event })?;
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

    /// Compares the clock with the time of the last purge. If it has not jumped, the present time becomes that of the
    /// last purge.
    ///
    /// The time is stored apart from the audit rows, because a wrong clock writes those, too, and would find itself
    /// confirmed after a restart. Before the first purge, the newest audit row is all there is to compare with.
    ///
    /// Seven days are a long time for the audit log, whose retention may be a day. So its own time follows the clock
    /// by at most a day a purge: after a jump within the seven days, an operator has hours to notice.
    async fn check_clock(&self) -> Result<ClockCheck, Error> {
        let now = self.now();
        let accepted = self.0.clock_confirmation.0.load(Ordering::SeqCst);
        let check = self
            .write_unanswered(move |tx| {
                let last = match meta::purge_time(tx)? {
                    Some(time) => Some(time),
                    None => audit::newest_time(tx)?,
                };
                if let Some(last) = last
                    && !accepted
                    && now.since(last) > MAX_GAP
                {
                    return Ok(ClockCheck::Jumped(last));
                }
                let trusted = match meta::audit_purge_time(tx)?.or(last) {
                    Some(time) if !accepted => now.min(time.plus(MAX_AUDIT_STEP)),
                    _ => now,
                };
                meta::set_purge_time(tx, now)?;
                meta::set_audit_purge_time(tx, trusted)?;
                Ok(ClockCheck::Trusted(trusted))
            })
            .await?;
        if let ClockCheck::Trusted(_) = check {
            self.0.clock_confirmation.0.store(false, Ordering::SeqCst);
        }
        Ok(check)
    }
}
