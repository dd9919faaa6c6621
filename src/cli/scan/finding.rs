//! A token that was found, and how it is printed.

use serde::Serialize;

use crate::domain::{token_search::find_tokens, token_text::TokenText, visible};

/// Where a token was found: a file, or an object in a Git repository.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Source {
    /// The commit that introduced the file, or whose message it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    /// The object's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<String>,
    /// The file, and the member of an archive; `None` for the message of a commit or tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
}

impl Source {
    /// A file, or a member of nested archives: `FILE!MEMBER!MEMBER`.
    pub(super) fn file(path: String, members: &[String]) -> Self {
        let parts: Vec<_> = [path].iter().chain(members).cloned().collect();
        let path = parts.join("!");
        Self {
            path: (!path.is_empty()).then_some(path),
            ..Self::default()
        }
    }

    /// `COMMIT:PATH`, or the part that is known.
    pub(super) fn show(&self) -> String {
        let object = self.commit.as_deref().or(self.object.as_deref());
        let parts = [object, self.path.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(":")
    }
}

/// A position in a file or object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Location {
    /// From 1; lines end with `\n`.
    pub(super) line: u64,
    /// In bytes, from 1.
    pub(super) column: u64,
    /// In bytes, from 0.
    pub(super) offset: u64,
}

/// A token and its location, without the secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    #[serde(flatten)]
    location: Location,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    prefix: String,
    token_id: String,
}

impl Finding {
    pub(super) fn new(
        location: Location,
        encoding: Option<&'static str>,
        token: &TokenText,
    ) -> Self {
        Self {
            location,
            encoding,
            prefix: token.prefix().to_owned(),
            token_id: token.id().to_string(),
        }
    }

    /// The line for people.
    pub(super) fn show(&self, source: &Source) -> String {
        let Location { line, column, .. } = self.location;
        let token = redacted(&self.prefix, &self.token_id);
        let source = source.show();
        match self.encoding {
            Some(encoding) => format!("{source}:{line}:{column}: {token} (in {encoding})"),
            None => format!("{source}:{line}:{column}: {token}"),
        }
    }

    /// The line for programs.
    pub(super) fn json(&self, source: &Source) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct JsonFinding<'a> {
            #[serde(flatten)]
            source: &'a Source,
            #[serde(flatten)]
            finding: &'a Finding,
        }
        let finding = self;
        serde_json::to_string(&JsonFinding { source, finding })
    }
}

/// A token without its secret.
fn redacted(prefix: &str, id: &str) -> String {
    format!("{prefix}_{id}_…")
}

/// Makes a foreign name safe to print: redacts tokens in it, and escapes what would control a terminal or forge a line.
pub(super) fn printable(name: &[u8]) -> String {
    let mut text = String::new();
    let mut at = 0;
    find_tokens(name, 0, |start, token: TokenText| {
        text.push_str(&String::from_utf8_lossy(&name[at..start]));
        text.push_str(&redacted(token.prefix(), token.id().encode().as_str()));
        at = start + token.expose().len();
    });
    text.push_str(&String::from_utf8_lossy(&name[at..]));
    visible::escape(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::{Id, TokenId},
        token_text::TokenPrefix,
    };

    #[test]
    fn a_printed_name_has_no_secret_and_no_control_characters() {
        let id = TokenId::from_id(Id::from_u128(7));
        let token = TokenText::generate(&TokenPrefix::default(), id);
        let name = format!("a/{0}\u{1b}[31m\n{0}.txt", token.expose());
        let shown = format!("hallpass_{id}_…");
        let expected = format!("a/{shown}\\u{{1b}}[31m\\n{shown}.txt");
        assert_eq!(printable(name.as_bytes()), expected);
        assert_eq!(printable(b"a\xff/b c"), "a\u{fffd}/b c");
        assert_eq!(
            printable("txt.\u{202e}exe\u{2028}".as_bytes()),
            "txt.\\u{202e}exe\\u{2028}"
        );
    }
}
