//! How long a token may live. Nothing is ever clamped: a lifetime beyond a limit is refused, and the error names the
//! limit.

use std::{fmt, time::Duration};

use super::time::Timestamp;

/// Checks that `expire_time`, if set, is later than `now`. This part needs no limits, so a wrong field can be
/// reported before anything is looked up.
///
/// # Errors
/// The time is not in the future.
pub fn check_future(expire_time: Option<Timestamp>, now: Timestamp) -> Result<(), LifetimeError> {
    if expire_time.is_some_and(|end| end <= now) {
        return Err(LifetimeError::Past);
    }
    Ok(())
}

/// The server's lifetime settings for the tokens of people, or for those of machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifetimePolicy {
    /// Maximum lifetime of a token. If set, every token must expire.
    pub max_ttl: Option<Duration>,
    /// The lifetime of a token whose request has no expiry; `None`: it never expires.
    pub default_ttl: Option<Duration>,
    /// Whether each token must expire, however late.
    pub must_expire: bool,
}

impl LifetimePolicy {
    /// The limits for a token whose parent, if any, expires at `parent_expires` (`None`: never).
    pub const fn limits(self, parent_expires: Option<Timestamp>) -> LifetimeLimits {
        LifetimeLimits {
            max_ttl: self.max_ttl,
            must_expire: self.must_expire,
            parent_expires,
        }
    }

    /// The expiry of a token requested at `now` without one; `None`: never. It is checked like a requested one.
    pub fn default_expiry(self, now: Timestamp) -> Option<Timestamp> {
        self.default_ttl.map(|ttl| now.plus(ttl))
    }
}

/// The limits on a new token's lifetime.
#[derive(Clone, Copy, Debug, Default)]
pub struct LifetimeLimits {
    /// Maximum lifetime.
    pub max_ttl: Option<Duration>,
    /// Whether the token must expire, however late.
    pub must_expire: bool,
    /// When the parent expires; `None` if there is no parent or it never expires.
    pub parent_expires: Option<Timestamp>,
}

/// Checks the `expire_time` (`None`: never) of a token requested at `now`.
///
/// # Errors
/// The lifetime is refused; see [`LifetimeError`].
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

/// A duration in the form that settings use: `90d`.
pub fn show(duration: Duration) -> impl fmt::Display {
    Setting(duration)
}

/// Writes `90d`, where humantime would write `2months 29days 2h 52m 48s`.
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
    /// The expiry is not in the future.
    #[error("must be in the future")]
    Past,
    /// The lifetime exceeds the server's maximum.
    #[error("the token may live at most {}", Setting(*max_ttl))]
    TooLong {
        /// The server's maximum.
        max_ttl: Duration,
    },
    /// The token would never expire, which the server forbids.
    #[error("the token must expire: set expire_time")]
    Never,
    /// The token would outlive its parent.
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
    fn limits_are_written_like_settings() {
        let text = |max_ttl| LifetimeError::TooLong { max_ttl }.to_string();
        assert!(text(DAY * 90).ends_with(" 90d"));
        assert!(text(DAY / 2).ends_with(" 12h"));
        assert!(text(DAY * 3 / 2).ends_with(" 1d 12h"));
    }

    #[test]
    fn the_default_lifetime_starts_now() {
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
