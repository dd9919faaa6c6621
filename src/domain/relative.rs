//! How far a time is from now, in words.

use std::time::Duration;

use super::time::Timestamp;

/// How far `time` is from `now`, in whole ones of the largest unit that it has one of: `3 days ago`, `in 1 hour`.
pub fn relative(time: Timestamp, now: Timestamp) -> String {
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

fn length(duration: Duration) -> Option<String> {
    let (number, unit) = parts(duration)?;
    let plural = if number == 1 { "" } else { "s" };
    Some(format!("{number} {unit}{plural}"))
}

/// The number of whole ones of the largest unit that there is one of.
pub fn parts(duration: Duration) -> Option<(u64, &'static str)> {
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
        let moment = Duration::from_millis(10);
        assert_eq!(relative(NOW.plus(moment), NOW), "in a moment");
    }
}
