//! When a token expires, as it is written on the command line.

use crate::domain::time::Timestamp;

use super::super::moment::Moment;

/// When a token stops being valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Expiry {
    Never,
    When(Moment),
}

impl Expiry {
    /// The time that it means at `now`; `None`: never.
    pub(in crate::cli) fn time(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::When(moment) => Some(moment.ahead_of(now)),
        }
    }
}

/// Reads it from an argument.
pub(in crate::cli) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text.trim().eq_ignore_ascii_case("never") {
        return Ok(Expiry::Never);
    }
    match text.parse() {
        Ok(moment) => Ok(Expiry::When(moment)),
        Err(problem) => Err(format!("must be never, or {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_never_or_a_moment() {
        for never in ["never", "Never", " never "] {
            assert_eq!(parse_expiry(never), Ok(Expiry::Never));
        }
        let moment = "90d".parse().unwrap();
        assert_eq!(parse_expiry("90d"), Ok(Expiry::When(moment)));
        assert!(parse_expiry("tomorrow").unwrap_err().contains("never"));
    }
}
