//! The plaintext of a token: `<prefix>_<id>_<secret><crc>`.
//!
//! The secret is 43 base62 digits of 32 random bytes; the checksum is 6 base62 digits of CRC-32/ISO-HDLC over
//! everything before it. The form lets a scanner find leaked tokens offline, and the ID lets a leaked token be
//! revoked without knowing the secret. Only the SHA-256 of the whole text is ever stored.

use std::{fmt, ops::RangeInclusive};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    base62,
    id::{ID_LEN, TokenId},
    random,
    secret::Secret,
};

const SECRET_LEN: usize = 43;
const CRC_LEN: usize = 6;

/// The number of digits after the second `_`.
pub(super) const TAIL_LEN: usize = SECRET_LEN + CRC_LEN;

/// The allowed lengths of a prefix.
pub(super) const PREFIX_LEN: RangeInclusive<usize> = 3..=16;

/// The first part of a token's text, 3 to 16 of `[a-z0-9]`. It tells people and secret scanners which service issued
/// the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPrefix(String);

impl TokenPrefix {
    /// Validates a prefix.
    ///
    /// # Errors
    /// The length is not 3 to 16, or a character is not in `[a-z0-9]`.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        if Self::is_one(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PrefixError)
        }
    }

    fn is_one(text: &str) -> bool {
        PREFIX_LEN.contains(&text.len()) && text.bytes().all(Self::may_hold)
    }

    /// Whether a prefix may contain `byte`.
    pub(super) const fn may_hold(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit()
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TokenPrefix {
    fn default() -> Self {
        Self("hallpass".to_owned())
    }
}

/// A prefix was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 3 to 16 of a-z and 0-9")]
pub struct PrefixError;

/// The stored hash of a token: SHA-256 of its plaintext.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// From the store.
    pub const fn from_row(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(super) fn of(plaintext: &str) -> Self {
        Self(Sha256::digest(plaintext.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// A token's plaintext in its canonical form. Whoever has it can use the token.
#[derive(Clone, Debug)]
pub struct TokenText {
    text: Secret,
    id: TokenId,
}

impl TokenText {
    /// Generates a secret for the token `id`.
    pub fn generate(prefix: &TokenPrefix, id: TokenId) -> Self {
        let secret = Zeroizing::new(random::bytes::<32>());
        let mut limbs = Zeroizing::new([0_u32; 8]);
        for (limb, bytes) in limbs.iter_mut().zip(secret.chunks_exact(4)) {
            *limb = u32::from_be_bytes(bytes.try_into().expect("chunks of four"));
        }
        let mut digits = Zeroizing::new([0; SECRET_LEN]);
        base62::encode(*limbs, digits.as_mut_slice());

        let mut text = String::with_capacity(prefix.0.len() + 2 + ID_LEN + TAIL_LEN);
        text.push_str(&prefix.0);
        text.push('_');
        text.push_str(id.encode().as_str());
        text.push('_');
        text.push_str(str::from_utf8(digits.as_slice()).expect("base62 is ASCII"));
        let crc = encode_crc(&text);
        text.push_str(str::from_utf8(&crc).expect("base62 is ASCII"));
        Self {
            text: Secret::new(text),
            id,
        }
    }

    /// Parses untrusted text. Any well-formed prefix is accepted.
    ///
    /// # Errors
    /// The text does not have the form of a token, or its checksum is wrong.
    pub fn parse(text: &str) -> Result<Self, TokenTextError> {
        let id = check(text)?;
        let text = Secret::new(text.to_owned());
        Ok(Self { text, id })
    }

    /// The public ID.
    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// The part before the first `_`, which is not secret.
    pub fn prefix(&self) -> &str {
        self.text.expose().split('_').next().unwrap_or_default()
    }

    /// The hash to store.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.text.expose())
    }

    /// The plaintext, to be shown once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

/// Checks that a text is a token in canonical form, and returns its ID.
///
/// # Errors
/// The text does not have the form of a token, or its checksum is wrong.
pub(super) fn check(text: &str) -> Result<TokenId, TokenTextError> {
    let (id, secret) = split(text).ok_or(TokenTextError::Malformed)?;
    base62::decode::<8>(secret.as_bytes()).ok_or(TokenTextError::Malformed)?;
    let (body, crc) = text.split_at(text.len() - CRC_LEN);
    if crc.as_bytes() == encode_crc(body) {
        Ok(id)
    } else {
        Err(TokenTextError::Checksum)
    }
}

/// The ID and the secret. Every part except the prefix has a fixed length.
fn split(text: &str) -> Option<(TokenId, &str)> {
    let (text, tail) = cut(text, TAIL_LEN)?;
    let (prefix, id) = cut(text.strip_suffix('_')?, ID_LEN)?;
    if !TokenPrefix::is_one(prefix.strip_suffix('_')?) {
        return None;
    }
    Some((TokenId::parse(id)?, tail.get(..SECRET_LEN)?))
}

/// Splits off the last `len` bytes.
fn cut(text: &str, len: usize) -> Option<(&str, &str)> {
    text.split_at_checked(text.len().checked_sub(len)?)
}

fn encode_crc(body: &str) -> [u8; CRC_LEN] {
    let mut digits = [0; CRC_LEN];
    base62::encode([crc32fast::hash(body.as_bytes())], &mut digits);
    digits
}

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenTextError {
    /// It does not have the form of a token.
    #[error("does not have the form of a token")]
    Malformed,
    /// It has the form of a token, but was mistyped or truncated: the checksum is wrong.
    #[error("has a checksum that does not fit: it was mistyped or cut")]
    Checksum,
    /// It holds more than one token.
    #[error("holds more than one token")]
    Several,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new_text() -> TokenText {
        let id = TokenId::from_id(super::super::id::Id::from_u128(0x0192_0000_7000_8000));
        TokenText::generate(&TokenPrefix::default(), id)
    }

    proptest! {
        #[test]
        fn any_single_character_change_is_refused(at in 0_usize..81, to: char) {
            let text = new_text();
            let mut changed: Vec<char> = text.expose().chars().collect();
            prop_assume!(changed[at] != to);
            changed[at] = to;
            prop_assert!(TokenText::parse(&changed.iter().collect::<String>()).is_err());
        }

        #[test]
        fn only_canonical_text_is_accepted(tail in "[0-9A-Za-z]{43}", id in "[0-9A-Za-z]{22}") {
            let body = format!("hallpass_{id}_{tail}");
            let text = format!("{body}{}", str::from_utf8(&encode_crc(&body)).unwrap());
            let canonical = base62::decode::<8>(tail.as_bytes()).is_some_and(|limbs| {
                let mut again = [0; SECRET_LEN];
                base62::encode(limbs, &mut again);
                again == tail.as_bytes()
            }) && TokenId::parse(&id).is_some_and(|parsed| parsed.to_string() == id);
            prop_assert_eq!(TokenText::parse(&text).is_ok(), canonical);
        }

        #[test]
        fn any_other_text_is_refused(text: String) {
            prop_assert!(TokenText::parse(&text).is_err());
        }
    }

    #[test]
    fn prefixes_have_3_to_16_lower_case_letters_and_digits() {
        for good in ["abc", "a1b2", "0123456789abcdef"] {
            assert_eq!(TokenPrefix::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "ab", "0123456789abcdefg", "Abc", "a-c", "a_c", "äbc"] {
            assert_eq!(TokenPrefix::parse(bad), Err(PrefixError), "{bad}");
        }
        assert_eq!(new_text().prefix(), "hallpass");
    }

    #[test]
    fn a_secret_of_the_wrong_length_is_refused_even_with_a_valid_checksum() {
        let text = new_text();
        let body = &text.expose()[..text.expose().len() - CRC_LEN];
        let sealed = |body: &str| format!("{body}{}", str::from_utf8(&encode_crc(body)).unwrap());
        assert!(TokenText::parse(&sealed(body)).is_ok());
        for body in [&format!("{body}0"), &body[..body.len() - 1]] {
            let refused = TokenText::parse(&sealed(body)).unwrap_err();
            assert_eq!(refused, TokenTextError::Malformed);
        }
    }

    #[test]
    fn a_new_token_round_trips_with_the_same_hash() {
        let text = new_text();
        let read = TokenText::parse(text.expose()).unwrap();
        assert_eq!(read.id(), text.id());
        assert!(read.hash().matches(&text.hash()));
        assert!(!read.hash().matches(&new_text().hash()));
        assert_eq!(format!("{:?}", read.hash()), "[hash]");
        assert_eq!(
            format!("{read:?}"),
            format!("TokenText {{ text: [secret], id: {} }}", text.id())
        );
    }
}
