//! Times as arguments: a duration from now, a day or a time.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime};

use crate::domain::{
    duration::{self, DurationError},
    time::Timestamp,
};

const FORMS: &str = "a duration such as 90d, a day such as 2027-01-01 (from 00:00 UTC), or a time such as \
                     2027-01-01T08:00:00+01:00";

/// A time, or a distance from now. Whether that lies ahead or back depends on the flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeArg {
    At(Timestamp),
    FromNow(Duration),
}

impl TimeArg {
    /// The time, with a distance counted from `now` into the future.
    pub(super) fn ahead_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::FromNow(duration) => now.plus(duration),
        }
    }

    /// The time, with a distance counted from `now` into the past.
    pub(super) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::FromNow(duration) => now.minus(duration),
        }
    }
}

impl FromStr for TimeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).map_err(|problem| format!("must be {problem}"))
    }
}

/// Reads a time, or returns what it must be.
fn read(text: &str) -> Result<TimeArg, &'static str> {
    match duration::parse(text) {
        Ok(duration) => return Ok(TimeArg::FromNow(duration)),
        Err(DurationError::Months) => return Err("in days, since months differ in length"),
        Err(DurationError::TooLong) => return Err("at most 1000 years away"),
        Err(DurationError::Malformed) => {}
    }
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    let micros = match text.parse() {
        Ok(day) => midnight(day),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .map_err(|_| FORMS)?
            .timestamp_micros(),
    };
    Ok(TimeArg::At(Timestamp::from_micros(micros)))
}

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiryArg {
    Never,
    At(TimeArg),
}

impl ExpiryArg {
    /// The expiry as of `now`; `None` means never.
    pub(super) fn time(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time.ahead_of(now)),
        }
    }
}

impl FromStr for ExpiryArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().eq_ignore_ascii_case("never") {
            return Ok(Self::Never);
        }
        match read(text) {
            Ok(time) => Ok(Self::At(time)),
            Err(problem) => Err(format!("must be never, or {problem}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_duration_a_day_or_a_timestamp() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let days = Duration::from_hours(90 * 24);
        let distance = TimeArg::from_str("90d").unwrap();
        assert_eq!(distance.ahead_of(now), now.plus(days));
        assert_eq!(distance.before(now), now.minus(days));
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15T09:30:00+01:30",
            "2027-01-15T03:00:00-05:00",
        ] {
            let at = TimeArg::from_str(text).unwrap();
            assert_eq!((at.ahead_of(now), at.before(now)), (now, now), "{text}");
        }
        let midnight = now.minus(Duration::from_hours(8));
        assert_eq!(
            TimeArg::from_str("2027-01-15").unwrap().ahead_of(now),
            midnight
        );
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
            assert!(TimeArg::from_str(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expiry_is_never_or_a_time() {
        for never in ["never", "Never", " never "] {
            assert_eq!(never.parse(), Ok(ExpiryArg::Never));
        }
        let time = "90d".parse().unwrap();
        assert_eq!("90d".parse(), Ok(ExpiryArg::At(time)));
        let problem = ExpiryArg::from_str("tomorrow").unwrap_err();
        assert!(problem.contains("never"), "{problem}");
    }
}
