//! Refused sign-ins on their way into the audit log, off the reply path.
//!
//! The first refusal per (reason, account or token, network) a minute becomes a row, the rest of that
//! minute one row with their number. A minute makes at most [`MAX_ROWS`] rows, whatever comes in: what goes
//! beyond is one row that only counts.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use crate::domain::{
    address,
    audit::AuditEvent,
    id::{TokenId, UserId},
    reason::Reason,
    time::Timestamp,
};

use super::{caller::Origin, error::Unauthenticated};

/// How many rows a minute may make.
const MAX_ROWS: usize = 600;
/// A key makes two rows at most, and one is for what goes beyond.
const MAX_KEYS: usize = (MAX_ROWS - 1) / 2;
const WINDOW: Duration = Duration::from_mins(1);

/// What is alike: the reason, the account or token, and the network it came from.
type Key = (Reason, String, Option<IpNet>);

/// Collects refusals until a job writes them.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    start: Option<Timestamp>,
    /// The first of each key, and how many followed.
    seen: HashMap<Key, (AuditEvent, u32)>,
    /// First ones that are not yet written.
    fresh: Vec<AuditEvent>,
    /// The last one beyond [`MAX_KEYS`], and how many there were.
    beyond: Option<(AuditEvent, u32)>,
}

impl Refusals {
    /// Notes a refused token. One that is unknown or has the wrong secret is noted under no ID: a guesser
    /// would choose it.
    pub(super) fn token(
        &self,
        now: Timestamp,
        refusal: Unauthenticated,
        id: TokenId,
        origin: &Origin,
    ) {
        let target = match refusal {
            Unauthenticated::Invalid(_) => id.to_string(),
            Unauthenticated::Missing
            | Unauthenticated::Malformed
            | Unauthenticated::WrongToken
            | Unauthenticated::WrongPassword => String::new(),
        };
        self.note(now, "authenticate.token", refusal.reason(), target, origin);
    }

    /// Notes a refused password. A name that is not known never enters the log.
    pub(super) fn password(&self, now: Timestamp, account: Option<UserId>, origin: &Origin) {
        let target = account.map(|id| id.to_string()).unwrap_or_default();
        self.note(
            now,
            "authenticate.password",
            Reason::CredentialsInvalid,
            target,
            origin,
        );
    }

    /// Notes an attempt that was throttled, before it was known whose.
    pub(super) fn throttled(&self, now: Timestamp, origin: &Origin) {
        self.note(
            now,
            "authenticate.password",
            Reason::SignInThrottled,
            String::new(),
            origin,
        );
    }

    fn note(
        &self,
        now: Timestamp,
        action: &'static str,
        reason: Reason,
        target: String,
        origin: &Origin,
    ) {
        let network = origin.ip.map(address::network_of);
        let event = AuditEvent {
            outcome: reason.as_str(),
            ..origin.event(now, action, &target)
        };
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.start.get_or_insert(now);
        if let Some((_, followed)) = window.seen.get_mut(&(reason, target.clone(), network)) {
            *followed = followed.saturating_add(1);
        } else if window.seen.len() < MAX_KEYS {
            window.fresh.push(event.clone());
            window.seen.insert((reason, target, network), (event, 0));
        } else {
            let count = window.beyond.take().map_or(0, |(_, count)| count);
            window.beyond = Some((event, count.saturating_add(1)));
        }
    }

    /// What is to be written now: the first ones at once, the rest when their minute is over (or, with
    /// `all`, because the server stops).
    pub(super) fn take(&self, now: Timestamp, all: bool) -> Vec<AuditEvent> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = std::mem::take(&mut window.fresh);
        // A clock that was set back must not keep a window open for longer.
        let over = window
            .start
            .is_some_and(|start| now < start || now.since(start) >= WINDOW);
        if over || all {
            let Window { seen, beyond, .. } = std::mem::take(&mut *window);
            let rest = seen.into_values().filter(|(_, followed)| *followed > 0);
            events.extend(rest.chain(beyond).map(|(event, count)| AuditEvent {
                time: now,
                target: if count > 0 {
                    event.target
                } else {
                    String::new()
                },
                count,
                ..event
            }));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::id::RequestId;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn origin(last: u32) -> Origin {
        Origin {
            request_id: RequestId::generate(NOW),
            client_request_id: None,
            ip: Some(std::net::Ipv4Addr::from_bits(0x0A00_0000 + (last << 8)).into()),
            user_agent: String::new(),
        }
    }

    #[test]
    fn the_first_is_a_row_at_once_and_the_rest_one_row_after_the_minute() {
        let refusals = Refusals::default();
        for _ in 0..1_000 {
            refusals.password(NOW, None, &origin(1));
        }
        assert_eq!(refusals.take(NOW, false).len(), 1);
        assert_eq!(refusals.take(NOW.plus(WINDOW / 2), false).len(), 0);
        let rest = refusals.take(NOW.plus(WINDOW), false);
        assert_eq!(
            rest.iter().map(|event| event.count).collect::<Vec<_>>(),
            [999]
        );
        assert_eq!(refusals.take(NOW.plus(WINDOW * 2), true).len(), 0);
    }

    #[test]
    fn a_minute_makes_at_most_600_rows_and_counts_all() {
        let refusals = Refusals::default();
        for network in 0..100_000 {
            refusals.password(NOW, None, &origin(network % 50_000));
        }
        let mut events = refusals.take(NOW, false);
        events.extend(refusals.take(NOW.plus(WINDOW), false));
        assert!(events.len() <= MAX_ROWS, "{} rows", events.len());
        assert_eq!(events.iter().map(|event| event.count).sum::<u32>(), 100_000);
    }

    #[test]
    fn guessed_token_ids_are_not_told_apart() {
        let refusals = Refusals::default();
        for _ in 0..10 {
            let id = TokenId::generate(NOW);
            refusals.token(NOW, Unauthenticated::WrongToken, id, &origin(1));
        }
        assert_eq!(refusals.take(NOW, false).len(), 1);
    }
}
