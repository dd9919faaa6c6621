//! Times for people: absolute, with how far from now beside it.

use std::time::Duration;

use pbjson_types::Timestamp as ProtoTimestamp;

use super::prose;
use crate::domain::time::Timestamp;

/// `2026-11-24T23:28:56Z (3 minutes ago)`.
pub(super) fn show(time: Timestamp, now: Timestamp) -> String {
    // People do not read microseconds; `--json` has them.
    let micros = time.as_micros();
    let seconds = Timestamp::from_micros(micros - micros.rem_euclid(1_000_000));
    format!("{seconds} ({})", relative(time, now))
}

/// A time of a reply. Without one it is the beginning of 1970, which no server sends.
pub(super) fn of(time: Option<ProtoTimestamp>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::parse(time.seconds, time.nanos).unwrap_or(Timestamp::from_micros(0))
}

/// A time of a request.
pub(super) fn to_proto(time: Timestamp) -> ProtoTimestamp {
    let (seconds, nanos) = time.to_parts();
    ProtoTimestamp { seconds, nanos }
}

/// When a token expires: a time as [`show`] tells it, or `never`.
pub(super) fn show_expiry(time: Option<ProtoTimestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "never".to_owned(), |_| show(of(time), now))
}

/// How far `time` is from `now`, in whole ones of the largest unit that it has one of.
pub(super) fn relative(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        return match length(time.since(now)) {
            Some(length) => format!("in {length}"),
            None => "in a moment".to_owned(),
        };
    }
    match length(now.since(time)) {
        Some(length) => format!("{length} ago"),
        None => "just now".to_owned(),
    }
}

/// The same for tables: `3h ago`, `in 89d`.
pub(super) fn short(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("in {}", short_length(time.since(now)))
    } else {
        format!("{} ago", short_length(now.since(time)))
    }
}

/// `89d`.
pub(super) fn short_length(duration: Duration) -> String {
    let (number, unit) = parts(duration).unwrap_or((0, "second"));
    format!("{number}{}", &unit[..1])
}

fn length(duration: Duration) -> Option<String> {
    let (number, unit) = parts(duration)?;
    Some(prose::count(number, unit))
}

/// The number of whole ones of the largest unit that there is one of.
fn parts(duration: Duration) -> Option<(u64, &'static str)> {
    const UNITS: [(u64, &str); 5] = [
        (365 * 86_400, "year"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    // To the nearest second, and from an hour on to the nearest minute: what was asked to live for 90 days does not
    // have 89 when it is shown.
    let mut seconds = (duration + Duration::from_millis(500)).as_secs();
    if seconds + 30 >= 3_600 {
        seconds += 30;
    }
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= *unit)?;
    Some((seconds / unit, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);

    #[test]
    fn the_largest_whole_unit_is_told_on_both_sides_of_now() {
        for (seconds, ago, ahead) in [
            (0, "just now", "just now"),
            (1, "1 second ago", "in 1 second"),
            (59, "59 seconds ago", "in 59 seconds"),
            (60, "1 minute ago", "in 1 minute"),
            (3_569, "59 minutes ago", "in 59 minutes"),
            (3_570, "1 hour ago", "in 1 hour"),
            (86_369, "23 hours ago", "in 23 hours"),
            (86_370, "1 day ago", "in 1 day"),
            (364 * 86_400, "364 days ago", "in 364 days"),
            (800 * 86_400, "2 years ago", "in 2 years"),
        ] {
            let far = Duration::from_secs(seconds);
            assert_eq!(relative(NOW.minus(far), NOW), ago);
            assert_eq!(relative(NOW.plus(far), NOW), ahead);
        }
        let days = Duration::from_hours(89 * 24);
        assert_eq!(short(NOW.minus(days), NOW), "89d ago");
        assert_eq!(short(NOW.plus(days), NOW), "in 89d");
        assert_eq!(short(NOW, NOW), "0s ago");
        let moment = Duration::from_millis(10);
        assert_eq!(relative(NOW.plus(moment), NOW), "in a moment");
    }

    #[test]
    fn what_never_expires_says_so() {
        assert_eq!(show_expiry(None, NOW), "never");
        assert_eq!(
            show_expiry(Some(to_proto(NOW)), NOW),
            "2027-01-15T08:00:00Z (just now)"
        );
    }
}
