//! When a token expires, as it is written on the command line.

use std::time::{Duration, SystemTime};

use crate::domain::time::Timestamp;

/// When a token stops being valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    At(Timestamp),
    After(Duration),
}

impl Expiry {
    /// The time that it means at `now`; `None`: never.
    pub(super) fn time(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time),
            Self::After(duration) => Some(now.plus(duration)),
        }
    }
}

/// Reads it from an argument.
pub(super) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    if let Ok(duration) = humantime::parse_duration(text) {
        return Ok(Expiry::After(duration));
    }
    humantime::parse_rfc3339(text)
        .map(|time: SystemTime| Expiry::At(time.into()))
        .map_err(|_| {
            "must be never, a duration such as 90d, or a time in UTC such as 2027-01-01T00:00:00Z"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_never_a_duration_or_a_time() {
        assert_eq!(parse_expiry("never"), Ok(Expiry::Never));
        let days = Duration::from_hours(90 * 24);
        assert_eq!(parse_expiry("90d"), Ok(Expiry::After(days)));
        assert_eq!(
            parse_expiry("2027-01-15T08:00:00Z"),
            Ok(Expiry::At(Timestamp::from_micros(1_800_000_000_000_000)))
        );
        for bad in [
            "",
            "90",
            "tomorrow",
            "2027-01-15",
            "2027-01-15T08:00:00+01:00",
        ] {
            assert!(parse_expiry(bad).is_err(), "{bad}");
        }
    }
}
