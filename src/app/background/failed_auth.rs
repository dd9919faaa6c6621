//! Collects refused authentications for the audit log, off the reply path.
//!
//! The first refusal a minute per (reason, account or token, site) becomes a row. The rest of that minute are counted
//! in one row per reason, which names no target and no address. A site is an IPv4 /24 or an IPv6 /48.
//!
//! A minute has at most [`MAX_ROWS`] rows. Each row goes to the reason that has had the fewest, and within it to the
//! site that has had the fewest, so that a flood uses up its own share and nobody else's. Refusals that get no row
//! are counted like the rest.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use crate::domain::{
    address,
    audit::AuditEvent,
    id::{RequestId, TokenId, UserId},
    reason::Reason,
    time::Timestamp,
};

use crate::app::{
    caller::{Caller, ClientInfo},
    error::Unauthenticated,
};

/// Maximum number of rows per minute.
const MAX_ROWS: usize = 600;
const WINDOW: Duration = Duration::from_mins(1);

/// How many of these rows are set aside for counts, one per reason.
const MAX_COUNTS: usize = 20;

/// Burst and rate of the other rows; over a minute they add up to about [`MAX_ROWS`] less [`MAX_COUNTS`].
const BURST_ROWS: usize = 109;
const ROWS_PER_SECOND: usize = 8;

/// Maximum number of distinct targets if there is a single site. With more sites, each may have its part of that
/// number, and at least one.
const MAX_TARGETS: usize = 300;

/// Maximum number of distinct sites.
const MAX_SITES: usize = 1_000;

const TOKEN: &str = "authenticate.token";
const PASSWORD: &str = "authenticate.password";

/// The action that was tried, and why it was refused.
type Cause = (&'static str, &'static str);

/// Collects refusals until a job writes them.
#[derive(Debug, Default)]
pub(in crate::app) struct FailedAuthAggregator(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    start: Option<Timestamp>,
    batches: BTreeMap<Cause, ReasonBatch>,
    written: usize,
}

impl FailedAuthAggregator {
    /// Notes a refused token. An unknown token or one with a wrong secret is noted without its ID, which an attacker
    /// could choose freely. A missing or malformed token is not noted at all.
    pub(in crate::app) fn token(
        &self,
        now: Timestamp,
        refusal: Unauthenticated,
        id: TokenId,
        client: &ClientInfo,
    ) {
        let target = match refusal {
            Unauthenticated::Missing | Unauthenticated::Malformed => return,
            Unauthenticated::Invalid(_) => id.to_string(),
            Unauthenticated::WrongToken | Unauthenticated::WrongPassword => String::new(),
        };
        let event = AuditEvent {
            credential_kind: "token",
            outcome: refusal.reason().as_str(),
            ..client.event(now, TOKEN, target)
        };
        self.note(event, client.ip);
    }

    /// Notes a refused password. Unknown usernames never enter the log.
    pub(in crate::app) fn password(
        &self,
        now: Timestamp,
        account: Option<UserId>,
        client: &ClientInfo,
    ) {
        let target = account.map(|id| id.to_string()).unwrap_or_default();
        let event = AuditEvent {
            credential_kind: "password",
            outcome: Reason::CredentialsInvalid.as_str(),
            ..client.event(now, PASSWORD, target)
        };
        self.note(event, client.ip);
    }

    /// Notes a throttled sign-in. It names no account, because none was looked up yet.
    pub(in crate::app) fn throttled(&self, now: Timestamp, client: &ClientInfo) {
        let event = AuditEvent {
            credential_kind: "password",
            outcome: Reason::SignInThrottled.as_str(),
            ..client.event(now, PASSWORD, "")
        };
        self.note(event, client.ip);
    }

    /// Notes that a caller gave a wrong old password, or tried too often. Somebody with a stolen token or at an open
    /// console may be guessing the user's password.
    pub(in crate::app) fn old_password(
        &self,
        now: Timestamp,
        outcome: &'static str,
        caller: &Caller,
        account: UserId,
    ) {
        let client = caller.client();
        let credential = caller.token().map(|token| token.id.to_string());
        let event = AuditEvent {
            actor: account.to_string(),
            credential_kind: caller.credential_kind(),
            credential_id: credential.unwrap_or_default(),
            outcome,
            ..client.event(now, PASSWORD, account)
        };
        self.note(event, client.ip);
    }

    fn note(&self, event: AuditEvent, ip: Option<IpAddr>) {
        let site = ip.map(address::site_of);
        let mut window = self.lock();
        window.start.get_or_insert(event.time);
        let cause = (event.action, event.outcome);
        window.batches.entry(cause).or_default().note(site, event);
    }

    /// The rows to write now: first refusals as far as the limit allows, and the counts once their minute is over. With
    /// `all`, which is for shutdown, everything is due.
    pub(in crate::app) fn take(&self, now: Timestamp, all: bool) -> Vec<AuditEvent> {
        let mut window = self.lock();
        let Some(start) = window.start else {
            return Vec::new();
        };
        // A clock that was set back must not keep the window open for longer than a minute.
        let passed = if now < start {
            WINDOW
        } else {
            now.since(start)
        };
        let is_over = passed >= WINDOW || all;
        let seconds = if is_over { WINDOW } else { passed }.as_secs();
        let seconds = usize::try_from(seconds).unwrap_or(usize::MAX);
        let limit = (BURST_ROWS + ROWS_PER_SECOND * seconds).min(MAX_ROWS - MAX_COUNTS);
        let mut events = window.take_first_refusals(limit);
        if is_over {
            let batches = std::mem::take(&mut *window).batches;
            let rest = batches
                .into_iter()
                .map(|(cause, batch)| (cause, batch.rest()));
            let rest = rest.filter(|(_, count)| *count > 0);
            events.extend(rest.map(|(cause, count)| count_of(cause, count, now)));
        }
        events
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Takes first refusals until this window has had `limit` rows.
    fn take_first_refusals(&mut self, limit: usize) -> Vec<AuditEvent> {
        let mut events = Vec::new();
        while self.written < limit {
            let batches = self
                .batches
                .values_mut()
                .filter(|batch| batch.has_waiting());
            let Some(event) = batches
                .min_by_key(|batch| batch.written())
                .and_then(ReasonBatch::pop)
            else {
                break;
            };
            self.written += 1;
            events.push(event);
        }
        // In the order in which they happened, not the order in which they got their rows.
        events.sort_by_key(|event| event.time);
        events
    }
}

/// The row that counts the refusals without a row of their own.
fn count_of((action, outcome): Cause, count: u32, now: Timestamp) -> AuditEvent {
    AuditEvent {
        time: now,
        actor: String::new(),
        credential_kind: "",
        credential_id: String::new(),
        target: String::new(),
        action,
        outcome,
        count,
        request_id: RequestId::generate(now).to_string(),
        successor_id: String::new(),
        client_request_id: String::new(),
        ip: String::new(),
        user_agent: String::new(),
    }
}

/// The refusals with one reason in one minute.
#[derive(Debug, Default)]
struct ReasonBatch {
    /// The key `None` is for local callers.
    sites: HashMap<Option<IpNet>, Site>,
    written: usize,
    rest: u32,
}

#[derive(Debug, Default)]
struct Site {
    targets: HashSet<String>,
    waiting: VecDeque<AuditEvent>,
    written: usize,
}

impl ReasonBatch {
    /// Keeps the first refusal per site and target, and counts the others.
    fn note(&mut self, site: Option<IpNet>, event: AuditEvent) {
        let sites = self.sites.len();
        let found = match self.sites.get_mut(&site) {
            None if sites < MAX_SITES => Some(self.sites.entry(site).or_default()),
            found => found,
        };
        let targets = MAX_TARGETS / sites.max(1);
        match found {
            Some(site)
                if site.targets.len() < targets.max(1) && !site.targets.contains(&event.target) =>
            {
                site.targets.insert(event.target.clone());
                site.waiting.push_back(event);
            }
            _ => self.rest = self.rest.saturating_add(event.count),
        }
    }

    /// How many refusals got a row.
    const fn written(&self) -> usize {
        self.written
    }

    /// Whether a refusal waits for its row.
    fn has_waiting(&self) -> bool {
        self.sites.values().any(|site| !site.waiting.is_empty())
    }

    /// Takes the next refusal, from the site that has had the fewest rows.
    fn pop(&mut self) -> Option<AuditEvent> {
        let sites = self.sites.values_mut();
        let site = sites
            .filter(|site| !site.waiting.is_empty())
            .min_by_key(|site| site.written)?;
        site.written += 1;
        self.written += 1;
        site.waiting.pop_front()
    }

    /// How many refusals got no row of their own.
    fn rest(&self) -> u32 {
        let waiting: usize = self.sites.values().map(|site| site.waiting.len()).sum();
        self.rest
            .saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests;
