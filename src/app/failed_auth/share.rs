//! The refusals with one reason in one minute.

use std::collections::{HashMap, HashSet, VecDeque};

use ipnet::IpNet;

use crate::domain::audit::AuditEvent;

/// Maximum number of distinct targets if there is a single site. With more sites, each may have its part of that
/// number, and at least one.
const TARGETS: usize = 300;

/// Maximum number of distinct sites.
const SITES: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Share {
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

impl Share {
    /// Keeps the first refusal per site and target, and counts the others.
    pub(super) fn note(&mut self, site: Option<IpNet>, event: AuditEvent) {
        let sites = self.sites.len();
        let found = match self.sites.get_mut(&site) {
            None if sites < SITES => Some(self.sites.entry(site).or_default()),
            found => found,
        };
        let room = TARGETS / sites.max(1);
        match found {
            Some(site)
                if site.targets.len() < room.max(1) && !site.targets.contains(&event.target) =>
            {
                site.targets.insert(event.target.clone());
                site.waiting.push_back(event);
            }
            _ => self.rest = self.rest.saturating_add(event.count),
        }
    }

    /// How many refusals got a row.
    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// Whether a refusal waits for its row.
    pub(super) fn waits(&self) -> bool {
        self.sites.values().any(|site| !site.waiting.is_empty())
    }

    /// Takes the next refusal, from the site that has had the fewest rows.
    pub(super) fn pop(&mut self) -> Option<AuditEvent> {
        let sites = self.sites.values_mut();
        let site = sites
            .filter(|site| !site.waiting.is_empty())
            .min_by_key(|site| site.written)?;
        site.written += 1;
        self.written += 1;
        site.waiting.pop_front()
    }

    /// How many refusals got no row of their own.
    pub(super) fn rest(&self) -> u32 {
        let waiting: usize = self.sites.values().map(|site| site.waiting.len()).sum();
        self.rest
            .saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX))
    }
}
