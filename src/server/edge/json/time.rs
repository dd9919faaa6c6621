//! Checks that prost-reflect leaves out when it parses a Timestamp or Duration: seconds of 60, hours and offsets
//! out of range, more than nine fraction digits.

/// `2030-01-31T12:00:00[.123456789](Z|+01:00)`. The date is checked by prost-reflect.
pub(super) fn is_timestamp(text: &str) -> bool {
    let Some((_, time)) = text.split_once('T') else {
        return false;
    };
    let (clock, rest) = time.split_at_checked(8).unwrap_or((time, ""));
    let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (fraction, offset) = rest.split_at(end);
    let offset_is_right = match offset.strip_prefix(['+', '-']) {
        Some(offset) => fields_below(offset, &[24, 60]),
        None => offset == "Z",
    };
    fields_below(clock, &[24, 60, 60]) && fraction_is_right(fraction) && offset_is_right
}

/// `-3600.123456789s`
pub(super) fn is_duration(text: &str) -> bool {
    let Some(number) = text.strip_suffix('s') else {
        return false;
    };
    let number = number.strip_prefix('-').unwrap_or(number);
    let end = number.find('.').unwrap_or(number.len());
    let (whole, fraction) = number.split_at(end);
    !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) && fraction_is_right(fraction)
}

/// Empty, or a point and one to nine digits.
fn fraction_is_right(fraction: &str) -> bool {
    match fraction.strip_prefix('.') {
        Some(digits) => {
            (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        }
        None => fraction.is_empty(),
    }
}

/// Two-digit numbers separated by colons, each below its bound.
fn fields_below(text: &str, bounds: &[u8]) -> bool {
    let mut fields = text.split(':');
    let all_below = bounds.iter().all(|bound| {
        fields.next().is_some_and(|field| {
            field.len() == 2
                && field.bytes().all(|b| b.is_ascii_digit())
                && field.parse::<u8>().is_ok_and(|number| number < *bound)
        })
    });
    all_below && fields.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_seconds_and_up_to_nine_fraction_digits() {
        for text in ["0s", "-0s", "3600s", "-1.5s", "1.123456789s"] {
            assert!(is_duration(text), "{text}");
        }
        for text in [
            "",
            "s",
            "1",
            "1.s",
            ".5s",
            "1.1234567890s",
            "+1s",
            "1e3s",
            "--1s",
            "1 s",
        ] {
            assert!(!is_duration(text), "{text}");
        }
    }

    #[test]
    fn truncated_and_odd_timestamps_do_not_panic() {
        for text in [
            "",
            "T",
            "T1",
            "2030-01-01T00:00:0",
            "2030-01-01T00:00:00",
            "T00:00:0é",
            "T00:00:00.Z",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
