//! Pagination: page sizes, and signed page tokens that hold the position of the next page (AIP-158).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The page size where the client does not set one.
pub const DEFAULT_PAGE_SIZE: u32 = 50;
/// Maximum page size.
pub const MAX_PAGE_SIZE: u32 = 250;

const POSITION_LEN: usize = 24;
const MAC_LEN: usize = 32;

/// The page size to use for what the client requested.
pub const fn size(asked: u32) -> u32 {
    match asked {
        0 => DEFAULT_PAGE_SIZE,
        MAX_PAGE_SIZE.. => MAX_PAGE_SIZE,
        _ => asked,
    }
}

/// The last entry of a page, by the list's sort key: a major key and, where that can repeat, a minor key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The create time in microseconds, or a sequence number.
    pub major: i64,
    /// The ID's number, or 0.
    pub minor: u128,
}

/// Signs page tokens. Created once per database, never rotated.
#[derive(Clone)]
pub struct PageKey([u8; 32]);

impl PageKey {
    /// From the store.
    pub const fn from_row(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The page token for the page after `position` in the list that `query` describes.
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

    /// The position after which the page of `token` starts. `None` if the token is empty: the first page.
    ///
    /// # Errors
    /// The token was not signed with this key for this query.
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

/// What a page token is bound to: the procedure and every request field that shapes the list.
#[derive(Clone, Debug)]
pub struct PageQuery(Vec<u8>);

impl PageQuery {
    /// A query of `procedure`.
    pub fn new(procedure: &str) -> Self {
        Self(Vec::new()).field(procedure.as_bytes())
    }

    /// Adds the next field. Each is prefixed with its length, so that no two queries have the same bytes.
    pub fn field(mut self, value: &[u8]) -> Self {
        let len = u64::try_from(value.len()).expect("a length fits 64 bits");
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }
}

/// A page token was refused: altered, from another list, or malformed.
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
        fn a_token_verifies_only_with_its_own_query_and_key(major: i64, minor: u128) {
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
    fn the_first_page_needs_no_token_and_debug_hides_the_key() {
        assert_eq!(KEY.verify(&PageQuery::new("List"), ""), Ok(None));
        assert_eq!(format!("{KEY:?}"), "[page key]");
    }

    #[test]
    fn page_sizes_are_kept_within_bounds() {
        assert_eq!(
            [0, 1, 249, 250, 251, u32::MAX].map(size),
            [50, 1, 249, 250, 250, 250]
        );
    }
}
