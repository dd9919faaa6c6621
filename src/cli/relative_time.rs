//! Times for people: absolute and relative to now.

use std::time::Duration;

use pbjson_types::Timestamp as ProtoTimestamp;

use crate::domain::{relative, time::Timestamp};

/// `2026-11-24T23:28:56Z (3 minutes ago)`.
pub(super) fn show(time: Timestamp, now: Timestamp) -> String {
    // Without the microseconds, which `--json` has.
    let micros = time.as_micros();
    let seconds = Timestamp::from_micros(micros - micros.rem_euclid(1_000_000));
    format!("{seconds} ({})", relative::relative(time, now))
}

/// A time of a reply; 1970 if it is missing, which no server sends.
pub(super) fn of(time: Option<ProtoTimestamp>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::parse(time.seconds, time.nanos).unwrap_or(Timestamp::from_micros(0))
}

/// A time for a request.
pub(super) fn to_proto(time: Timestamp) -> ProtoTimestamp {
    let (seconds, nanos) = time.to_parts();
    ProtoTimestamp { seconds, nanos }
}

/// An expiry: a time as in [`show`], or `never`.
pub(super) fn show_expiry(time: Option<ProtoTimestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "never".to_owned(), |_| show(of(time), now))
}

/// `time` relative to `now`, for tables: `3h ago`, `in 89d`.
pub(super) fn short(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("in {}", short_length(time.since(now)))
    } else {
        format!("{} ago", short_length(now.since(time)))
    }
}

/// `89d`.
pub(super) fn short_length(duration: Duration) -> String {
    let (number, unit) = relative::parts(duration).unwrap_or((0, "second"));
    format!("{number}{}", &unit[..1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);

    #[test]
    fn short_times_have_one_letter_for_the_unit() {
        let days = Duration::from_hours(89 * 24);
        assert_eq!(short(NOW.minus(days), NOW), "89d ago");
        assert_eq!(short(NOW.plus(days), NOW), "in 89d");
        assert_eq!(short(NOW, NOW), "0s ago");
    }

    #[test]
    fn an_expiry_is_a_time_or_never() {
        assert_eq!(show_expiry(None, NOW), "never");
        assert_eq!(
            show_expiry(Some(to_proto(NOW)), NOW),
            "2027-01-15T08:00:00Z (just now)"
        );
    }
}
