//! Whole numbers as settings and flags take them.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

/// The longest text that a refusal repeats. No number is longer, and most secrets are.
const MAX_REPEATED: usize = 24;

/// Reads a whole number of `range`, and refuses others with the range: clap's own parser has no words for it.
pub fn number<T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let (from, to) = (range.start(), range.end());
            let form = format!("must be a whole number from {from} to {to}");
            Err(if text.is_empty() || text.len() > MAX_REPEATED {
                form
            } else {
                format!("{form}, not {text}")
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_range_and_a_value_that_is_no_secret() {
        let read = number(1..=512_u32);
        assert_eq!(read("512"), Ok(512));
        for bad in ["0", "513", "-1", "1.5", "abc", "99999999999999999999"] {
            let refusal = format!("must be a whole number from 1 to 512, not {bad}");
            assert_eq!(read(bad), Err(refusal));
        }
        for unshown in ["", "correct horse battery staple"] {
            let refusal = "must be a whole number from 1 to 512".to_owned();
            assert_eq!(read(unshown), Err(refusal));
        }
    }
}
