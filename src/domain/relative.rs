//! Relative times in words.

use std::time::Duration;

use super::time::Timestamp;

/// How far `time` is from `now`, rounded down to its largest unit: `3 days ago`, `in 1 hour`.
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

/// A duration in its largest unit, rounded down; `None` below half a second.
pub fn parts(duration: Duration) -> Option<(u64, &'static str)> {
    const UNITS: [(u64, &str); 5] = [
        (365 * 86_400, "year"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    // Round to the nearest second, and from an hour up to the nearest minute: a token requested for 90 days must not
    // be shown with 89.
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
    fn past_and_future_times_use_the_largest_whole_unit() {
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
