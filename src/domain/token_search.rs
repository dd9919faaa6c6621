//! Finds tokens in arbitrary bytes by their form and checksum.
//!
//! The checksum, not the surrounding text, decides where a token begins and ends: after the `\n` escape of a JSON
//! text or the `%20` of a URL it may directly follow letters and digits, and in a binary format the next field may
//! start with one. So every possible prefix length is tried, and what follows is ignored. At most one in 2^32 texts
//! of the right form is mistaken for a token.

use std::borrow::Cow;

use memchr::memrchr;

use super::{
    base62,
    id::ID_LEN,
    token_text::{PREFIX_LEN, TAIL_LEN, TokenPrefix, TokenText},
};

/// Maximum length of a token.
pub const MAX_TOKEN_LEN: usize = *PREFIX_LEN.end() + 1 + ID_LEN + 1 + TAIL_LEN;

/// Minimum length of a token.
pub const MIN_TOKEN_LEN: usize = *PREFIX_LEN.start() + 1 + ID_LEN + 1 + TAIL_LEN;

/// Calls `found` with the start and the text of each token in `bytes` that ends after `from`, in order.
///
/// To search a stream in pieces and find each token once, put the last `MAX_TOKEN_LEN - 1` bytes of a piece in front
/// of the next, and pass as `from` where the new bytes begin.
pub fn find_tokens(bytes: &[u8], from: usize, mut found: impl FnMut(usize, TokenText)) {
    // Checking every TAIL_LEN'th byte hits one of the digits at the end of each token, and the last `_` within reach
    // before it starts those digits. Few positions pass even this check.
    for at in (from..bytes.len()).step_by(TAIL_LEN) {
        let reach = at.saturating_sub(TAIL_LEN);
        if base62::is_digit(bytes[at])
            && let Some(before) = memrchr(b'_', &bytes[reach..at])
            && let Some((start, token)) = token_with_tail(bytes, reach + before + 1)
        {
            found(start, token);
        }
    }
}

/// The token whose secret begins at `tail`, with the position where the token begins.
fn token_with_tail(bytes: &[u8], tail: usize) -> Option<(usize, TokenText)> {
    let end = tail + TAIL_LEN;
    let prefix_end = tail.checked_sub(ID_LEN + 2)?;
    let of_the_form = bytes[prefix_end] == b'_'
        && all_digits(&bytes[prefix_end + 1..tail - 1])
        && all_digits(bytes.get(tail..end)?);
    if !of_the_form {
        return None;
    }
    let before = bytes[..prefix_end].iter().rev().take(*PREFIX_LEN.end());
    let longest = before
        .take_while(|byte| TokenPrefix::may_hold(**byte))
        .count();
    (*PREFIX_LEN.start()..=longest).rev().find_map(|len| {
        let start = prefix_end - len;
        let text = str::from_utf8(&bytes[start..end]).ok()?;
        Some((start, TokenText::parse(text).ok()?))
    })
}

/// The bytes with each token's secret and checksum replaced. The prefix and the ID are not secret and stay.
pub fn redact(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut secrets = Vec::new();
    find_tokens(bytes, 0, |start, token| {
        let end = start + token.expose().len();
        secrets.push(end - TAIL_LEN..end);
    });
    if secrets.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let mut redacted = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for secret in secrets {
        redacted.extend_from_slice(&bytes[from..secret.start]);
        redacted.extend_from_slice(b"[secret]");
        from = secret.end;
    }
    redacted.extend_from_slice(&bytes[from..]);
    Cow::Owned(redacted)
}

fn all_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| base62::is_digit(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::id::{Id, TokenId};

    fn token(prefix: &str, id: u128) -> String {
        let prefix = TokenPrefix::parse(prefix).unwrap();
        let token = TokenText::generate(&prefix, TokenId::from_id(Id::from_u128(id)));
        token.expose().to_owned()
    }

    fn find(bytes: &[u8]) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        find_tokens(bytes, 0, |start, token| {
            all.push((start, token.expose().to_owned()));
        });
        all
    }

    /// Searches piece by piece, like the reader of a stream.
    fn find_in_pieces(bytes: &[u8], piece: usize) -> Vec<(usize, String)> {
        let (mut all, mut begin, mut seen) = (Vec::new(), 0, 0);
        for end in (piece..bytes.len() + piece).step_by(piece) {
            let end = end.min(bytes.len());
            find_tokens(&bytes[begin..end], seen - begin, |start, token| {
                all.push((begin + start, token.expose().to_owned()));
            });
            (begin, seen) = ((end + 1).saturating_sub(MAX_TOKEN_LEN), end);
        }
        all
    }

    /// Bytes that may surround a token: arbitrary ones, and ones of the kind that tokens consist of.
    fn surroundings() -> impl Strategy<Value = Vec<u8>> {
        let of_the_form = "([a-z0-9]{1,18}|[0-9A-Za-z]{22}|[0-9A-Za-z]{49}|_|\n){0,9}";
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            of_the_form.prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn a_token_is_found_exactly_once_whatever_surrounds_it(
            before in surroundings(),
            after in surroundings(),
            prefix in "[a-z0-9]{3,16}",
            id: u128,
            piece in 1_usize..400,
        ) {
            let token = token(&prefix, id);
            let bytes = [&before, token.as_bytes(), &after].concat();
            let expected = [(before.len(), token)];
            prop_assert_eq!(&find(&bytes)[..], &expected[..]);
            prop_assert_eq!(&find_in_pieces(&bytes, piece)[..], &expected[..]);
        }

        #[test]
        fn a_corrupted_token_is_never_found(
            before in surroundings(),
            after in surroundings(),
            at in 0_usize..81,
            to: u8,
        ) {
            let mut token = token("hallpass", 7).into_bytes();
            prop_assume!(token[at] != to);
            token[at] = to;
            prop_assert_eq!(&find(&[before, token, after].concat()), &[]);
        }

        #[test]
        fn a_cut_token_is_never_found(before in surroundings(), from in 0_usize..81, to in 0_usize..81) {
            prop_assume!(from > 0 || to < 81);
            let token = token("hallpass", 7);
            let cut = &token.as_bytes()[from.min(to)..to.max(from)];
            prop_assert_eq!(&find(&[&before, cut, b"\n"].concat()), &[]);
        }
    }

    #[test]
    fn redaction_removes_the_secrets_and_nothing_else() {
        let (first, second) = (token("hallpass", 7), token("abc", 8));
        let text = format!("/x/{first}/{second}?");
        let redacted = String::from_utf8(redact(text.as_bytes()).into_owned()).unwrap();
        let id = |token: &str| token[..token.len() - TAIL_LEN].to_owned();
        let expected = format!("/x/{}[secret]/{}[secret]?", id(&first), id(&second));
        assert_eq!(redacted, expected);
        assert!(matches!(
            redact(b"/x/hallpass_y"),
            Cow::Borrowed(b"/x/hallpass_y")
        ));
    }

    #[test]
    fn a_token_is_found_where_people_leave_it() {
        let token = token("hallpass", 7);
        for (before, after) in [
            ("", ""),
            ("HALLPASS_TOKEN=", "\r\n"),
            ("Authorization: Bearer ", "'"),
            ("{\"token\":\"", "\"}"),
            ("https://ci:", "@example.com/"),
            ("?access_token=", "&x=1"),
            ("\\n", "\\n"),
            ("%20", "%20"),
            ("x", "x"),
            ("_", "_"),
            ("0000000000000000000", "0000000000000000000"),
            ("\u{e9}", "\u{e9}"),
            ("\0\x12Q", "2\x04"),
        ] {
            let bytes = format!("{before}{token}{after}");
            assert_eq!(
                find(bytes.as_bytes()),
                [(before.len(), token.clone())],
                "{before:?}"
            );
        }
    }

    #[test]
    fn adjacent_tokens_are_all_found() {
        let tokens = [
            token("abc", 1),
            token("0123456789abcdef", 2),
            token("x1y", 3),
        ];
        let mut start = 0;
        let expected = tokens.clone().map(|token| {
            start += token.len();
            (start - token.len(), token)
        });
        assert_eq!(find(tokens.concat().as_bytes()), expected);
        assert_eq!(tokens[1].len(), MAX_TOKEN_LEN);
    }
}
