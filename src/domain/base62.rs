//! Numbers as base62 text: digits `0-9A-Za-z`, big-endian, zero-padded to a fixed width. The digits are in ASCII
//! order, so that texts of the same width sort like their numbers.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many digits are processed at once: as many as fit in a limb.
const CHUNK: usize = 5;

/// The value of a byte that is no digit.
const NONE: u8 = u8::MAX;

/// The value of each byte. A table rather than a comparison, since the token search asks about arbitrary bytes, which
/// a branch predictor cannot guess.
const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 62 {
        table[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// Writes the number in `limbs` (most significant first) into all of `out`.
///
/// The width must hold the number: 22 digits for 4 limbs, 43 for 8, 6 for 1.
pub fn encode<const LIMBS: usize>(mut limbs: [u32; LIMBS], out: &mut [u8]) {
    let mut rest = 0;
    for chunk in out.rchunks_mut(CHUNK) {
        rest = divide(&mut limbs, 62_u32.pow(5));
        for digit in chunk.iter_mut().rev() {
            *digit = DIGITS[usize::try_from(rest % 62).expect("below 62")];
            rest /= 62;
        }
    }
    debug_assert!(
        rest == 0 && limbs.iter().all(|limb| *limb == 0),
        "the width holds the number"
    );
}

/// Divides the number in place and returns the remainder.
fn divide(limbs: &mut [u32], divisor: u32) -> u32 {
    let divisor = u64::from(divisor);
    let mut remainder = 0;
    for limb in limbs {
        let dividend = remainder << 32 | u64::from(*limb);
        *limb = u32::try_from(dividend / divisor).expect("remainder < divisor, so it fits");
        remainder = dividend % divisor;
    }
    u32::try_from(remainder).expect("below the divisor")
}

/// Reads a number of `LIMBS` limbs (most significant first). `None`: not base62, or too large.
pub fn decode<const LIMBS: usize>(text: &[u8]) -> Option<[u32; LIMBS]> {
    let mut limbs = [0_u32; LIMBS];
    for chunk in text.chunks(CHUNK) {
        let (mut factor, mut carry) = (1, 0);
        for byte in chunk {
            let value = VALUES[usize::from(*byte)];
            if value == NONE {
                return None;
            }
            factor *= 62;
            carry = carry * 62 + u64::from(value);
        }
        for limb in limbs.iter_mut().rev() {
            carry += u64::from(*limb) * factor;
            *limb = u32::try_from(carry & 0xFFFF_FFFF).expect("masked to 32 bits");
            carry >>= 32;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(limbs)
}

/// Whether `byte` is a digit.
pub const fn is_digit(byte: u8) -> bool {
    VALUES[byte as usize] != NONE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn encoding_and_decoding_round_trips(limbs: [u32; 8]) {
            let mut text = [0; 43];
            encode(limbs, &mut text);
            prop_assert_eq!(decode::<8>(&text), Some(limbs));
        }

        #[test]
        fn texts_sort_like_their_numbers(a: [u32; 4], b: [u32; 4]) {
            let (mut text_a, mut text_b) = ([0; 22], [0; 22]);
            encode(a, &mut text_a);
            encode(b, &mut text_b);
            prop_assert_eq!(a.cmp(&b), text_a.cmp(&text_b));
        }

        #[test]
        fn only_canonical_text_decodes(text in "[0-9A-Za-z]{22}") {
            if let Some(limbs) = decode::<4>(text.as_bytes()) {
                let mut again = [0; 22];
                encode(limbs, &mut again);
                prop_assert_eq!(text.as_bytes(), again);
            }
        }
    }

    #[test]
    fn only_the_62_digits_decode_each_to_its_position() {
        for byte in 0..=u8::MAX {
            let place = DIGITS.iter().position(|digit| *digit == byte);
            let expected = place.map(|place| [u32::try_from(place).unwrap()]);
            assert_eq!(decode::<1>(&[byte]), expected, "{byte}");
            assert_eq!(is_digit(byte), expected.is_some(), "{byte}");
        }
    }

    #[test]
    fn the_largest_number_decodes_and_the_next_overflows() {
        let mut text = [0; 6];
        encode([u32::MAX], &mut text);
        assert_eq!(&text, b"4gfFC3");
        assert_eq!(decode::<1>(b"4gfFC3"), Some([u32::MAX]));
        assert_eq!(decode::<1>(b"4gfFC4"), None);
        assert_eq!(decode::<1>(b"4gf_C3"), None);
    }
}
