//! Pages of a list: their size, and the signed token that says where the next one starts (AIP-158).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How many entries a page holds where the client does not say.
pub const DEFAULT_PAGE_SIZE: u32 = 50;
/// How many entries a page holds at most.
pub const MAX_PAGE_SIZE: u32 = 250;

const POSITION_LEN: usize = 24;
const MAC_LEN: usize = 32;

/// The size of a page: what the client asked for, within the bounds.
pub const fn size(asked: u32) -> u32 {
    match asked {
        0 => DEFAULT_PAGE_SIZE,
        MAX_PAGE_SIZE.. => MAX_PAGE_SIZE,
        _ => asked,
    }
}

/// The last entry of a page, in the order of the list: a major key and, where that can repeat, a minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Microseconds of the create time, or a sequence number.
    pub major: i64,
    /// The ID's number, or 0.
    pub minor: u128,
}

/// Signs page tokens. Made once for a database, never rotated.
#[derive(Clone)]
pub struct PageKey([u8; 32]);

impl PageKey {
    /// From the store.
    pub const fn from_row(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The token for the page after `position` of the list that `query` describes.
    pub fn sign(&self, query: &PageQuery, position: Position) -> String {
        let mut bytes = [0; POSITION_LEN + MAC_LEN];
        bytes[..8].copy_from_slice(&position.major.to_be_bytes());
        bytes[8..POSITION_LEN].copy_from_slice(&position.minor.to_be_bytes());
        let mac = self
            .mac(query, &bytes[..POSITION_LEN])
            .finalize()
            .into_bytes();
        bytes[POSITION_LEN..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Where the page starts that `token` stands for; `None` where it is empty: at the beginning.
    ///
    /// # Errors
    /// The token was not made by this key for this very query.
    pub fn verify(
        &self,
        query: &PageQuery,
        token: &str,
    ) -> Result<Option<Position>, PageTokenError> {
        if token.is_empty() {
            return Ok(None);
        }
        let mut bytes = [0; POSITION_LEN + MAC_LEN];
        match URL_SAFE_NO_PAD.decode_slice(token, &mut bytes) {
            Ok(len) if len == bytes.len() => {}
            _ => return Err(PageTokenError),
        }
        let (position, mac) = bytes.split_at(POSITION_LEN);
        self.mac(query, position)
            .verify_slice(mac)
            .map_err(|_| PageTokenError)?;
        let (major, minor) = position.split_at(8);
        Ok(Some(Position {
            major: i64::from_be_bytes(major.try_into().expect("split at 8")),
            minor: u128::from_be_bytes(minor.try_into().expect("the other 16")),
        }))
    }

    fn mac(&self, query: &PageQuery, position: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key length");
        mac.update(&query.0);
        mac.update(position);
        mac
    }
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[page key]")
    }
}

/// What a page token is bound to: the procedure and every field of the request that shapes the list.
#[derive(Clone, Debug)]
pub struct PageQuery(Vec<u8>);

impl PageQuery {
    /// Of the list that `procedure` makes.
    pub fn new(procedure: &str) -> Self {
        Self(Vec::new()).field(procedure.as_bytes())
    }

    /// With the next field. Each is prefixed by its length, so that no two queries look alike.
    pub fn field(mut self, value: &[u8]) -> Self {
        let len = u64::try_from(value.len()).expect("a length fits 64 bits");
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }
}

/// A page token was refused: changed, foreign, or no page token at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a page token of this list")]
pub struct PageTokenError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: PageKey = PageKey([7; 32]);

    proptest! {
        #[test]
        fn any_bit_flip_is_refused(major: i64, minor: u128, at in 0_usize..75, bit in 0_u8..7) {
            let query = PageQuery::new("List").field(b"user");
            let mut token = KEY.sign(&query, Position { major, minor }).into_bytes();
            token[at] ^= 1 << bit;
            let token = String::from_utf8(token).unwrap();
            prop_assert_eq!(KEY.verify(&query, &token), Err(PageTokenError));
        }

        #[test]
        fn the_position_comes_back_for_the_same_query_and_key_only(major: i64, minor: u128) {
            let query = PageQuery::new("List").field(b"ab").field(b"c");
            let position = Position { major, minor };
            let token = KEY.sign(&query, position);
            prop_assert_eq!(KEY.verify(&query, &token), Ok(Some(position)));
            let other = PageQuery::new("List").field(b"a").field(b"bc");
            prop_assert_eq!(KEY.verify(&other, &token), Err(PageTokenError));
            prop_assert_eq!(PageKey([8; 32]).verify(&query, &token), Err(PageTokenError));
        }
    }

    #[test]
    fn beginning_needs_no_token_and_the_key_is_never_debugged() {
        assert_eq!(KEY.verify(&PageQuery::new("List"), ""), Ok(None));
        assert_eq!(format!("{KEY:?}"), "[page key]");
    }

    #[test]
    fn sizes_are_kept_within_the_bounds() {
        assert_eq!(
            [0, 1, 249, 250, 251, u32::MAX].map(size),
            [50, 1, 249, 250, 250, 250]
        );
    }
}
