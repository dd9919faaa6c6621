//! Numbers as base62 text: digits `0-9A-Za-z`, big-endian, zero-padded to a fixed width. The digits are in
//! ASCII order, so that texts of one width sort as the numbers do.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Writes the number in `limbs` (most significant first) into all of `out`.
///
/// The width must hold the number: 22 digits for 4 limbs, 43 for 8, 6 for 1.
pub fn encode<const LIMBS: usize>(mut limbs: [u32; LIMBS], out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let dividend = remainder << 32 | u64::from(*limb);
            *limb = u32::try_from(dividend / 62).expect("remainder < 62, so the quotient fits");
            remainder = dividend % 62;
        }
        *digit = DIGITS[usize::try_from(remainder).expect("below 62")];
    }
    debug_assert!(
        limbs.iter().all(|limb| *limb == 0),
        "the width holds the number"
    );
}

/// Reads a number of `LIMBS` limbs (most significant first). `None`: not base62, or too large.
pub fn decode<const LIMBS: usize>(text: &[u8]) -> Option<[u32; LIMBS]> {
    let mut limbs = [0_u32; LIMBS];
    for byte in text {
        let mut carry = u64::from(value(*byte)?);
        for limb in limbs.iter_mut().rev() {
            carry += u64::from(*limb) * 62;
            *limb = u32::try_from(carry & 0xFFFF_FFFF).expect("masked to 32 bits");
            carry >>= 32;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(limbs)
}

/// Whether `byte` is a digit. By a table: a search asks it of any bytes, which no branch could guess.
pub const fn is_digit(byte: u8) -> bool {
    const IS_DIGIT: [bool; 256] = {
        let mut table = [false; 256];
        let mut digit = 0;
        while digit < DIGITS.len() {
            table[DIGITS[digit] as usize] = true;
            digit += 1;
        }
        table
    };
    IS_DIGIT[byte as usize]
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(limbs: [u32; 8]) {
            let mut text = [0; 43];
            encode(limbs, &mut text);
            prop_assert_eq!(decode::<8>(&text), Some(limbs));
        }

        #[test]
        fn texts_sort_as_the_numbers_do(a: [u32; 4], b: [u32; 4]) {
            let (mut text_a, mut text_b) = ([0; 22], [0; 22]);
            encode(a, &mut text_a);
            encode(b, &mut text_b);
            prop_assert_eq!(a.cmp(&b), text_a.cmp(&text_b));
        }

        #[test]
        fn what_decodes_is_the_canonical_text(text in "[0-9A-Za-z]{22}") {
            if let Some(limbs) = decode::<4>(text.as_bytes()) {
                let mut again = [0; 22];
                encode(limbs, &mut again);
                prop_assert_eq!(text.as_bytes(), again);
            }
        }
    }

    #[test]
    fn a_byte_is_a_digit_if_it_has_a_value() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_digit(byte), value(byte).is_some(), "{byte}");
        }
    }

    #[test]
    fn the_largest_number_is_read_and_the_next_refused() {
        let mut text = [0; 6];
        encode([u32::MAX], &mut text);
        assert_eq!(&text, b"4gfFC3");
        assert_eq!(decode::<1>(b"4gfFC3"), Some([u32::MAX]));
        assert_eq!(decode::<1>(b"4gfFC4"), None);
        assert_eq!(decode::<1>(b"4gf_C3"), None);
    }
}
