//! Points in time, as people give them to a command.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime};

use crate::domain::{
    duration::{self, DurationError},
    time::Timestamp,
};

const FORMS: &str = "a duration such as 90d, a day such as 2027-01-01, as it begins in UTC, or a time such as \
                     2027-01-01T08:00:00+01:00";

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
        match duration::parse(text) {
            Ok(duration) => return Ok(Self::Away(duration)),
            Err(DurationError::Months) => return Err("in days, since months differ in length"),
            Err(DurationError::TooLong) => return Err("at most 1000 years away"),
            Err(DurationError::Malformed) => {}
        }
        let day = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        let micros = match text.parse() {
            Ok(found) => day(found),
            Err(_) => DateTime::parse_from_rfc3339(text)
                .map_err(|_| FORMS)?
                .timestamp_micros(),
        };
        Ok(Self::At(Timestamp::from_micros(micros)))
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
    fn a_moment_is_a_duration_a_day_or_a_time() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let days = Duration::from_hours(90 * 24);
        let away = parse("90d").unwrap();
        assert_eq!(away.ahead_of(now), now.plus(days));
        assert_eq!(away.before(now), now.minus(days));
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15T09:30:00+01:30",
            "2027-01-15T03:00:00-05:00",
        ] {
            let at = parse(text).unwrap();
            assert_eq!((at.ahead_of(now), at.before(now)), (now, now), "{text}");
        }
        let midnight = now.minus(Duration::from_hours(8));
        assert_eq!(parse("2027-01-15").unwrap().ahead_of(now), midnight);
        for bad in [
            "",
            "90",
            "never",
            "tomorrow",
            "2027-01-32",
            "2027-13-01T08:00:00Z",
            "2027-01-15T08:00:00",
            "2027-01-15T08:00:00+25:00",
            "3 months",
            "1001y",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
