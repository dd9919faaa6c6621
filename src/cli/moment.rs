//! Points in time, as people give them to a command.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use crate::domain::time::Timestamp;

/// A time, or how far it is from now; which way, the setting knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// This time.
    At(Timestamp),
    /// So far from now.
    Away(Duration),
}

impl Moment {
    /// The time, where it lies ahead.
    pub(super) fn ahead_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Away(duration) => now.plus(duration),
        }
    }

    /// The time, where it lies behind.
    pub(super) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Away(duration) => now.minus(duration),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(duration) = humantime::parse_duration(text) {
            return Ok(Self::Away(duration));
        }
        humantime::parse_rfc3339(text)
            .map(|time: SystemTime| Self::At(time.into()))
            .map_err(|_| "a duration such as 90d, or a time in UTC such as 2027-01-01T00:00:00Z")
    }
}

/// A setting's value.
pub(super) fn parse(text: &str) -> Result<Moment, String> {
    text.parse().map_err(|problem| format!("must be {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_duration_or_a_time_in_utc() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let days = Duration::from_hours(90 * 24);
        let away = parse("90d").unwrap();
        assert_eq!(away.ahead_of(now), now.plus(days));
        assert_eq!(away.before(now), now.minus(days));
        let at = parse("2027-01-15T08:00:00Z").unwrap();
        assert_eq!((at.ahead_of(now), at.before(now)), (now, now));
        for bad in [
            "",
            "90",
            "never",
            "tomorrow",
            "2027-01-15",
            "2027-01-15T08:00:00+01:00",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
