//! A token that a client presented, and the text that people paste along with one.
//!
//! A credential is parsed strictly ([`PresentedToken::parse`]): the header holds a token and nothing else. A token
//! that somebody asks about or reports was often copied by hand ([`PresentedToken::from_paste`]), and a leak report
//! that fails over a quotation mark would leave the token live. The checksum tells a token from its surroundings, as
//! long as it is not part of a longer word.

use zeroize::Zeroizing;

use super::{
    id::TokenId,
    token_search::find_tokens,
    token_text::{self, TokenHash, TokenText, TokenTextError},
};

/// Maximum length of pasted text. A log line with a token in it is shorter.
const MAX_PASTE_BYTES: usize = 4_096;

/// The ID and the hash of a presented token: enough to find it and to compare its secret.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken {
    id: TokenId,
    hash: TokenHash,
}

impl PresentedToken {
    /// From a plaintext's ID and hash.
    pub const fn new(id: TokenId, hash: TokenHash) -> Self {
        Self { id, hash }
    }

    /// Parses a credential: the plaintext, and nothing else.
    ///
    /// # Errors
    /// The text does not have the form of a token, or its checksum is wrong.
    pub fn parse(text: &str) -> Result<Self, TokenTextError> {
        let id = token_text::check(text)?;
        Ok(Self::new(id, TokenHash::of(text)))
    }

    /// Parses pasted text: see [`TokenText::from_paste`].
    ///
    /// # Errors
    /// The text holds no token, or more than one.
    pub fn from_paste(text: &str) -> Result<Self, TokenTextError> {
        match Self::parse(text) {
            Ok(token) => Ok(token),
            Err(_) => Ok(Self::from(&TokenText::from_paste(text)?)),
        }
    }

    /// The public ID.
    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// The hash of the whole plaintext.
    pub const fn hash(&self) -> &TokenHash {
        &self.hash
    }
}

impl From<&TokenText> for PresentedToken {
    fn from(text: &TokenText) -> Self {
        Self::new(text.id(), text.hash())
    }
}

impl TokenText {
    /// The single token in pasted text. White space, quotes, commas, `Bearer`, `HALLPASS_TOKEN=` and other text
    /// around it are ignored, and so are invisible characters and line breaks within it: a terminal with 80 columns
    /// wraps a token of 81 characters.
    ///
    /// # Errors
    /// The text holds no token, or more than one.
    pub fn from_paste(text: &str) -> Result<Self, TokenTextError> {
        if let Ok(token) = Self::parse(text) {
            return Ok(token);
        }
        if text.len() > MAX_PASTE_BYTES {
            return Err(TokenTextError::Malformed);
        }
        let text = visible(text);
        let mut found = Self::all_in(&text);
        if found.is_empty() {
            found = Self::all_in(&joined(&text));
        }
        match (found.pop(), found.is_empty()) {
            (Some(token), true) => Ok(token),
            (Some(_), false) => Err(TokenTextError::Several),
            (None, _) => Self::parse(text.trim_matches(|char| !is_of_a_word(char))),
        }
    }

    /// All tokens in pasted text, in order and without duplicates. Lines are not joined.
    pub fn all_from_paste(text: &str) -> Vec<Self> {
        Self::all_in(&visible(text))
    }

    fn all_in(text: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        find_tokens(text.as_bytes(), 0, |start, token| {
            let end = start + token.expose().len();
            let before = text[..start].chars().next_back();
            let after = text[end..].chars().next();
            let stands_alone = !before.into_iter().chain(after).any(is_of_a_word);
            if stands_alone && all.iter().all(|known| known.expose() != token.expose()) {
                all.push(token);
            }
        });
        all
    }
}

impl TokenId {
    /// The ID in pasted text, ignoring the punctuation and white space around it.
    pub fn from_paste(text: &str) -> Option<Self> {
        let text = visible(text);
        Self::parse(text.trim_matches(|char| !is_of_a_word(char)))
    }
}

/// Whether a character could belong to a token, so that a token next to it is part of a longer word.
const fn is_of_a_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Drops the invisible characters that come along when text is copied: Unicode's default ignorable code points and
/// the interlinear annotation characters.
fn visible(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.chars().filter(|char| !is_invisible(*char)).collect())
}

fn is_invisible(char: char) -> bool {
    !char.is_ascii()
        && INVISIBLE
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&char))
}

#[rustfmt::skip]
const INVISIBLE: [(char, char); 15] = [
    ('\u{ad}', '\u{ad}'), ('\u{34f}', '\u{34f}'), ('\u{61c}', '\u{61c}'), ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'), ('\u{180b}', '\u{180f}'), ('\u{200b}', '\u{200f}'), ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'), ('\u{3164}', '\u{3164}'), ('\u{fe00}', '\u{fe0f}'), ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'), ('\u{fff0}', '\u{fffb}'), ('\u{e0000}', '\u{e0fff}'),
];

/// The lines joined into one, with the white space at each line break removed.
fn joined(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{id::Id, token_text::TokenPrefix};

    fn token(id: u128) -> TokenText {
        TokenText::generate(&TokenPrefix::default(), TokenId::from_id(Id::from_u128(id)))
    }

    fn is_read(text: &str, token: &TokenText) -> bool {
        let read = PresentedToken::from_paste(text);
        read.is_ok_and(|read| read.id() == token.id() && read.hash().matches(&token.hash()))
    }

    #[test]
    fn text_pasted_around_a_token_is_ignored() {
        let token = token(7);
        for (before, after) in [
            ("", ""),
            (" \t", "\r\n"),
            ("\u{feff}", "\n\n"),
            ("\u{a0}", "\u{3000}"),
            ("\u{200b}", "\u{2060}\u{ad}"),
            ("\"", "\","),
            ("'", "';"),
            ("`", "`"),
            ("\u{201c}", "\u{201d}."),
            ("<", ">"),
            ("[\"", "\"]"),
            ("- ", ""),
            ("Bearer ", ""),
            ("Authorization: Bearer ", "'"),
            ("token=", "&x=1"),
            ("export HALLPASS_TOKEN='", "'"),
            ("\"token\": \"", "\","),
            ("https://ci:", "@example.com/"),
            ("\u{1b}[200~", "\u{1b}[201~"),
        ] {
            let pasted = format!("{before}{}{after}", token.expose());
            assert!(is_read(&pasted, &token), "{before:?} {after:?}");
            // The control: a credential is not parsed this leniently.
            let strict = PresentedToken::parse(&pasted);
            assert_eq!(strict.is_ok(), before.is_empty() && after.is_empty());
        }
    }

    #[test]
    fn line_breaks_and_invisible_characters_within_a_token_are_ignored() {
        let token = token(7);
        for within in ["\n", "\r\n", " \n  ", "\u{200b}", "\u{ad}\u{feff}"] {
            for at in [1, 40, 80] {
                let (head, tail) = token.expose().split_at(at);
                let pasted = format!("Bearer {head}{within}{tail}\n");
                assert!(is_read(&pasted, &token), "{within:?} at {at}");
            }
        }
    }

    #[test]
    fn longer_words_several_tokens_and_truncated_ones_are_refused() {
        let (first, second) = (token(7), token(8));
        let (a, b) = (first.expose(), second.expose());
        let read = |text: &str| TokenText::from_paste(text).map(|token| token.id());
        for longer in [
            format!("x{a}"),
            format!("{a}x"),
            format!("_{a}"),
            format!("{a}_"),
        ] {
            assert!(read(&longer).is_err(), "{longer}");
        }
        assert_eq!(read(&format!("{a} {b}")), Err(TokenTextError::Several));
        assert_eq!(read(&format!("{a},{a}")), Ok(first.id()), "the same twice");
        assert_eq!(read(&a[..80]), Err(TokenTextError::Malformed));
        assert_eq!(
            read(&format!(" {} ", a.replace("hall", "hell"))),
            Err(TokenTextError::Checksum)
        );
        assert_eq!(
            read(&first.id().to_string()),
            Err(TokenTextError::Malformed)
        );
        assert_eq!(read(""), Err(TokenTextError::Malformed));
        let long = format!("{a}{}", " ".repeat(MAX_PASTE_BYTES));
        assert_eq!(read(&long), Err(TokenTextError::Malformed));
    }

    #[test]
    fn every_token_of_a_line_is_found_once() {
        let (first, second) = (token(7), token(8));
        let line = format!("[\"{0}\",\"{1}\",\"{0}\"]", first.expose(), second.expose());
        let ids: Vec<_> = TokenText::all_from_paste(&line)
            .iter()
            .map(TokenText::id)
            .collect();
        assert_eq!(ids, [first.id(), second.id()]);
    }

    #[test]
    fn punctuation_around_an_id_is_ignored() {
        let id = token(7).id();
        for pasted in [
            format!("{id}"),
            format!(" \"{id}\",\r\n"),
            format!("\u{feff}{id}\u{200b}"),
        ] {
            assert_eq!(TokenId::from_paste(&pasted), Some(id), "{pasted:?}");
        }
        for bad in [
            format!("x{id}"),
            format!("id: {id}"),
            token(7).expose().to_owned(),
        ] {
            assert_eq!(TokenId::from_paste(&bad), None, "{bad:?}");
        }
    }
}
