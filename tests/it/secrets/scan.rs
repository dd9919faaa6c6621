//! Unique secrets, and searching bytes for them in any encoding.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};

use crate::test_app::START;

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Password,
    Token,
    Note,
    Username,
}

/// The secrets by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Vec<(Kind, String, String)>);

impl Secrets {
    fn add(&mut self, kind: Kind, name: &str, secret: String) -> String {
        self.0.push((kind, name.to_owned(), secret.clone()));
        secret
    }

    /// A random word: 43 base62 digits.
    fn word() -> String {
        let text = TokenText::generate(&TokenPrefix::default(), TokenId::generate(START));
        text.expose().split('_').nth(2).unwrap()[..43].to_owned()
    }

    pub(super) fn password(&mut self, name: &str) -> String {
        self.add(Kind::Password, name, Self::word())
    }

    pub(super) fn note(&mut self, name: &str) -> String {
        self.add(Kind::Note, name, Self::word())
    }

    /// An unknown name: those of existing users may appear.
    pub(super) fn username(&mut self, n: usize) -> String {
        let name = format!("u{}", &Self::word()[..30].to_lowercase());
        self.add(Kind::Username, &format!("stranger-{n}"), name)
    }

    /// The secret part of a token.
    pub(super) fn token(&mut self, text: &str) {
        let secret = text.split('_').nth(2).unwrap()[..43].to_owned();
        self.add(Kind::Token, "token", secret);
    }

    pub(super) fn unknown_token(&mut self) -> String {
        let text = TokenText::generate(&TokenPrefix::default(), TokenId::generate(START));
        self.token(text.expose());
        text.expose().to_owned()
    }

    pub(super) fn get(&self, name: &str) -> String {
        let found = self.0.iter().find(|(_, own, _)| own == name);
        found.unwrap().2.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The secrets in `content`; notes are allowed if it is `stored`.
    pub(super) fn found_in(&self, content: &[u8], stored: bool) -> Vec<String> {
        let kept = self.0.iter();
        kept.filter(|(kind, ..)| !(stored && *kind == Kind::Note))
            .filter(|(.., secret)| contains(content, secret))
            .map(|(kind, name, _)| format!("{kind:?} {name}"))
            .collect()
    }

    /// How many are found when each is written into `content`: in plain, as a list of bytes
    /// or within base64.
    pub(super) fn planted_in(&self, content: &[u8]) -> usize {
        let end = &content[content.len().saturating_sub(1_000)..];
        let found = self.0.iter().enumerate().filter(|(n, (.., secret))| {
            let planted = match n % 3 {
                0 => secret.clone(),
                1 => format!("{:?}", secret.as_bytes()),
                _ => STANDARD_NO_PAD.encode(format!("{}{secret}:", &"admin:"[..n % 4])),
            };
            contains(&[end, planted.as_bytes(), end].concat(), secret)
        });
        found.count()
    }
}

/// Whether `content` has it in plain, as Rust prints lists of bytes, or in base64 at any offset.
fn contains(content: &[u8], secret: &str) -> bool {
    let bytes = format!("{:?}", secret.as_bytes());
    let within_base64 = (0..3).map(|offset| {
        // Without the characters that share bits with their neighbours.
        let cut = &secret.as_bytes()[(3 - offset) % 3..];
        STANDARD_NO_PAD
            .encode(&cut[..cut.len() / 3 * 3])
            .into_bytes()
    });
    let mut forms = [secret.as_bytes().to_vec(), bytes[1..bytes.len() - 1].into()]
        .into_iter()
        .chain(within_base64);
    forms.any(|form| {
        let first = form[0];
        let mut rest = content;
        while let Some(at) = rest.iter().position(|byte| *byte == first) {
            rest = &rest[at..];
            if rest.starts_with(&form) {
                return true;
            }
            rest = &rest[1..];
        }
        false
    })
}
