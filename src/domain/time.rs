//! Points in time, to the microsecond.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// Microseconds since 1970-01-01T00:00:00Z, within the years 0001 to 9999, the range of `google.protobuf.Timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MIN_SECONDS: i64 = -62_135_596_800; // 0001-01-01T00:00:00Z
const MAX_SECONDS: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
const MICROS: i64 = 1_000_000;

impl Timestamp {
    /// From the fields of a `google.protobuf.Timestamp`, rounded down to the microsecond.
    ///
    /// # Errors
    /// The seconds are outside the years 0001 to 9999, or the nanoseconds outside 0 to 999,999,999.
    pub fn parse(seconds: i64, nanos: i32) -> Result<Self, TimestampError> {
        if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
            return Err(TimestampError::Seconds);
        }
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(TimestampError::Nanos);
        }
        Ok(Self(seconds * MICROS + i64::from(nanos / 1_000)))
    }

    /// From the store, which holds microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From the store. `None` if outside the range of `google.protobuf.Timestamp`, which no stored time should be.
    pub fn from_row(micros: i64) -> Option<Self> {
        let seconds = micros.div_euclid(MICROS);
        (MIN_SECONDS..=MAX_SECONDS)
            .contains(&seconds)
            .then_some(Self(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The fields of a `google.protobuf.Timestamp`: seconds and nanoseconds.
    pub fn to_parts(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(MICROS) * 1_000;
        let nanos = i32::try_from(nanos).expect("less than a second of nanoseconds fits an i32");
        (self.0.div_euclid(MICROS), nanos)
    }

    /// This time plus `duration`, at most the end of the year 9999.
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(
            self.0
                .saturating_add(micros)
                .min(MAX_SECONDS * MICROS + MICROS - 1),
        )
    }

    /// This time minus `duration`, at least the beginning of the year 0001.
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(MIN_SECONDS * MICROS))
    }

    /// The time elapsed since `earlier`; zero if that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(0).plus(after),
            Err(before) => Self(0).minus(before.duration()),
        }
    }
}

/// RFC 3339 in UTC with 0, 3 or 6 fractional digits, as `ProtoJSON` writes them.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(micros) = u64::try_from(self.0) else {
            // Hallpass never shows anybody a time before 1970.
            return write!(f, "{}us before 1970", self.0.unsigned_abs());
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        match (micros % 1_000_000, micros % 1_000) {
            (0, _) => humantime::format_rfc3339_seconds(time).fmt(f),
            (_, 0) => humantime::format_rfc3339_millis(time).fmt(f),
            _ => humantime::format_rfc3339_micros(time).fmt(f),
        }
    }
}

/// Why a timestamp was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The seconds are outside the years 0001 to 9999.
    #[error("must be within the years 0001 to 9999")]
    Seconds,
    /// The nanoseconds are outside 0 to 999,999,999.
    #[error("nanos must be within 0 to 999,999,999")]
    Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_fields_round_trip_to_the_microsecond_within_their_range() {
        let parts = |seconds, nanos| Timestamp::parse(seconds, nanos).map(Timestamp::to_parts);
        assert_eq!(parts(1, 1_999), Ok((1, 1_000)));
        assert_eq!(parts(-1, 999_999_999), Ok((-1, 999_999_000)));
        assert_eq!(
            Timestamp::parse(2, 3_000),
            Ok(Timestamp::from_micros(2_000_003))
        );
        assert_eq!(Timestamp::from_micros(2_000_003).as_micros(), 2_000_003);
        assert_eq!(parts(MIN_SECONDS, 0), Ok((MIN_SECONDS, 0)));
        assert_eq!(parts(MAX_SECONDS, 0), Ok((MAX_SECONDS, 0)));
        for seconds in [MIN_SECONDS - 1, MAX_SECONDS + 1, i64::MIN, i64::MAX] {
            assert_eq!(parts(seconds, 0), Err(TimestampError::Seconds));
        }
        for nanos in [-1, 1_000_000_000] {
            assert_eq!(parts(0, nanos), Err(TimestampError::Nanos));
        }
        let text = |seconds| Timestamp::parse(seconds, 0).unwrap().to_string();
        assert_eq!(text(MAX_SECONDS), "9999-12-31T23:59:59Z");
        // 719,162 days: 1969 years, 477 of them leap years.
        assert_eq!(MIN_SECONDS, -719_162 * 24 * 60 * 60);
    }

    #[test]
    fn sums_saturate_and_elapsed_time_is_never_negative() {
        let second = Duration::from_secs(1);
        let time = Timestamp::from_micros(5_000_000);
        assert_eq!(time.plus(second), Timestamp::from_micros(6_000_000));
        assert_eq!(time.minus(second), Timestamp::from_micros(4_000_000));
        let (first, last) = (
            Timestamp::parse(MIN_SECONDS, 0).unwrap(),
            Timestamp::parse(MAX_SECONDS, 999_999_999).unwrap(),
        );
        for forever in [Duration::MAX, Duration::from_secs(400_000_000_000)] {
            assert_eq!(time.plus(forever), last);
            assert_eq!(time.minus(forever), first);
        }
        assert_eq!(time.since(time.minus(second)), second);
        assert_eq!(time.since(time.plus(second)), Duration::ZERO);
        let at = |time: SystemTime| Timestamp::from(time).as_micros();
        assert_eq!(at(SystemTime::UNIX_EPOCH + second), 1_000_000);
        assert_eq!(at(SystemTime::UNIX_EPOCH - second), -1_000_000);
        assert_eq!(Timestamp::from_micros(-5).to_string(), "5us before 1970");
    }

    #[test]
    fn fractions_have_no_more_digits_than_needed() {
        let text = |micros| Timestamp::from_micros(micros).to_string();
        assert_eq!(text(1_000_000), "1970-01-01T00:00:01Z");
        assert_eq!(text(1_500_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(text(1_000_001), "1970-01-01T00:00:01.000001Z");
    }
}
