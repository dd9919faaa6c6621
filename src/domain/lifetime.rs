//! How long a token may live. Nothing is ever clamped: what does not fit is refused, with the limit named.

use std::{fmt, time::Duration};

use super::time::Timestamp;

/// Checks that `expire_time`, where there is one, is later than `now`: the part that needs no limits, so
/// that a wrong field can be told before anything is looked up.
///
/// # Errors
/// It is not.
pub fn check_future(expire_time: Option<Timestamp>, now: Timestamp) -> Result<(), LifetimeError> {
    if expire_time.is_some_and(|end| end <= now) {
        return Err(LifetimeError::Past);
    }
    Ok(())
}

/// How long the tokens of people, or those of machines, live by the server's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifetimePolicy {
    /// The longest life of a token. With one, none may live for ever.
    pub max_ttl: Option<Duration>,
    /// The life of a token for which none is asked; `None`: for ever.
    pub default_ttl: Option<Duration>,
    /// Whether each token must expire some day, be it far off.
    pub must_expire: bool,
}

impl LifetimePolicy {
    /// The limits of a token whose parent, where it has one, expires at `parent_expires` (`None`: never).
    pub const fn limits(self, parent_expires: Option<Timestamp>) -> LifetimeLimits {
        LifetimeLimits {
            max_ttl: self.max_ttl,
            must_expire: self.must_expire,
            parent_expires,
        }
    }

    /// When a token expires for which nothing is asked at `now`; `None`: never. It is checked as if it had
    /// been asked for.
    pub fn default_expiry(self, now: Timestamp) -> Option<Timestamp> {
        self.default_ttl.map(|ttl| now.plus(ttl))
    }
}

/// What bounds a new token's life.
#[derive(Clone, Copy, Debug, Default)]
pub struct LifetimeLimits {
    /// The longest life that the server allows.
    pub max_ttl: Option<Duration>,
    /// Whether it must expire, whenever.
    pub must_expire: bool,
    /// When the parent expires, where there is an expiring parent.
    pub parent_expires: Option<Timestamp>,
}

/// Checks the `expire_time` (`None`: never) that was asked for at `now`.
///
/// # Errors
/// Why it is refused.
pub fn check(
    expire_time: Option<Timestamp>,
    now: Timestamp,
    limits: LifetimeLimits,
) -> Result<(), LifetimeError> {
    check_future(expire_time, now)?;
    let beyond = |limit: Timestamp| expire_time.is_none_or(|end| end > limit);
    if let Some(max_ttl) = limits.max_ttl
        && beyond(now.plus(max_ttl))
    {
        return Err(LifetimeError::TooLong { max_ttl });
    }
    if limits.must_expire && expire_time.is_none() {
        return Err(LifetimeError::Never);
    }
    match limits.parent_expires {
        Some(parent_expires) if beyond(parent_expires) => {
            Err(LifetimeError::OutlivesParent { parent_expires })
        }
        _ => Ok(()),
    }
}

/// A duration as settings have it: `90d`.
pub fn show(duration: Duration) -> impl fmt::Display {
    Setting(duration)
}

/// `90d`, not `2months 29days 2h 52m 48s`.
struct Setting(Duration);

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY_SECS: u64 = 24 * 60 * 60;
        let days = self.0.as_secs() / DAY_SECS;
        let rest = self.0.saturating_sub(Duration::from_secs(days * DAY_SECS));
        match (days, rest) {
            (0, rest) => humantime::format_duration(rest).fmt(f),
            (days, Duration::ZERO) => write!(f, "{days}d"),
            (days, rest) => write!(f, "{days}d {}", humantime::format_duration(rest)),
        }
    }
}

/// Why a lifetime was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifetimeError {
    /// Not later than now.
    #[error("must be in the future")]
    Past,
    /// Longer than the server allows.
    #[error("the token may live at most {}", Setting(*max_ttl))]
    TooLong {
        /// The longest life that the server allows.
        max_ttl: Duration,
    },
    /// For ever, which the server forbids.
    #[error("the token must expire: set expire_time")]
    Never,
    /// Longer than its parent.
    #[error(
        "the token may not outlive the token it is made with, which expires at {parent_expires}"
    )]
    OutlivesParent {
        /// When the parent expires.
        parent_expires: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn limits_are_named_as_they_are_set() {
        let text = |max_ttl| LifetimeError::TooLong { max_ttl }.to_string();
        assert!(text(DAY * 90).ends_with(" 90d"));
        assert!(text(DAY / 2).ends_with(" 12h"));
        assert!(text(DAY * 3 / 2).ends_with(" 1d 12h"));
    }

    #[test]
    fn default_lives_from_now_on() {
        let policy = |default_ttl| LifetimePolicy {
            default_ttl,
            ..LifetimePolicy::default()
        };
        assert_eq!(policy(Some(DAY)).default_expiry(NOW), Some(NOW.plus(DAY)));
        assert_eq!(policy(None).default_expiry(NOW), None);
    }

    #[test]
    fn the_boundaries_are_exact() {
        let free = LifetimeLimits::default();
        let tick = Duration::from_micros(1);
        assert_eq!(check(None, NOW, free), Ok(()));
        assert_eq!(check(Some(NOW), NOW, free), Err(LifetimeError::Past));
        assert_eq!(check(Some(NOW.plus(tick)), NOW, free), Ok(()));

        let capped = LifetimeLimits {
            max_ttl: Some(DAY),
            ..free
        };
        let too_long = Err(LifetimeError::TooLong { max_ttl: DAY });
        assert_eq!(check(Some(NOW.plus(DAY)), NOW, capped), Ok(()));
        assert_eq!(check(Some(NOW.plus(DAY + tick)), NOW, capped), too_long);
        assert_eq!(check(None, NOW, capped), too_long);

        let mortal = LifetimeLimits {
            must_expire: true,
            ..free
        };
        assert_eq!(check(None, NOW, mortal), Err(LifetimeError::Never));
        assert_eq!(check(Some(NOW.plus(DAY * 99_999)), NOW, mortal), Ok(()));

        let parent_expires = NOW.plus(DAY);
        let child = LifetimeLimits {
            parent_expires: Some(parent_expires),
            ..free
        };
        let outlives = Err(LifetimeError::OutlivesParent { parent_expires });
        assert_eq!(check(Some(parent_expires), NOW, child), Ok(()));
        assert_eq!(check(Some(parent_expires.plus(tick)), NOW, child), outlives);
        assert_eq!(check(None, NOW, child), outlives);
    }
}
