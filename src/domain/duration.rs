//! Durations as people write them: `90d`, `36h`, or a sum such as `1h 30min`. A year is 365 days. Months are refused:
//! they differ in length, so a program would have to guess.

use std::time::Duration;

/// Far beyond any real use, and small enough not to overflow a clock.
const MAX_YEARS: u64 = 1_000;

/// Parses a duration.
///
/// # Errors
/// The text is malformed, uses months, or exceeds a thousand years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let (mut in_days, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(char::is_alphabetic) {
        let (number, unit) = rest.split_at(start);
        let end = unit.find(|char: char| !char.is_alphabetic());
        let (unit, after) = unit.split_at(end.unwrap_or(unit.len()));
        match unit {
            "M" | "month" | "months" => return Err(DurationError::Months),
            // A year in humantime is a quarter of a day longer.
            "y" | "yr" | "year" | "years" => {
                let years: u64 = number
                    .trim()
                    .parse()
                    .map_err(|_| DurationError::Malformed)?;
                let days = years.checked_mul(365).ok_or(DurationError::Malformed)?;
                in_days.extend([" ", &days.to_string(), "d"]);
            }
            unit => in_days.extend([number, unit]),
        }
        rest = after;
    }
    in_days.push_str(rest);
    let duration = humantime::parse_duration(in_days.trim_start());
    match duration.map_err(|_| DurationError::Malformed)? {
        duration if duration > Duration::from_hours(MAX_YEARS * 365 * 24) => {
            Err(DurationError::TooLong)
        }
        duration => Ok(duration),
    }
}

/// Why a duration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It uses months.
    #[error("is in months, which differ in length: give days, such as 90d")]
    Months,
    /// It exceeds the maximum.
    #[error("is more than {MAX_YEARS} years")]
    TooLong,
    /// It is not a duration.
    #[error("is no duration such as 90d, 36h or 10s")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_365_days_and_months_are_refused() {
        let days = |days: u64| Ok(Duration::from_hours(days * 24));
        for (text, expected) in [
            ("90d", days(90)),
            ("1y", days(365)),
            ("2 years", days(730)),
            ("1y 2d", days(367)),
            ("2d1y", days(367)),
            ("1w", days(7)),
            ("1h 30min", Ok(Duration::from_mins(90))),
            ("10s", Ok(Duration::from_secs(10))),
            ("5m", Ok(Duration::from_mins(5))),
            ("1000y", days(365_000)),
            ("1001y", Err(DurationError::TooLong)),
            ("1M", Err(DurationError::Months)),
            ("1y 6months", Err(DurationError::Months)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let too_long = format!("{}y", u64::MAX);
        for bad in [
            "",
            "90",
            "d",
            "y",
            "-1d",
            "1.5y",
            "soon",
            "1 fortnight",
            &too_long,
            "1dé",
        ] {
            assert_eq!(parse(bad), Err(DurationError::Malformed), "{bad}");
        }
    }
}
