//! Escapes untrusted text for display. Characters that are invisible, or that change how others are displayed, are
//! escaped, so that no note, name or path can forge a line, hide text or control a terminal.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a character is visible and leaves its neighbours alone. Not so: control characters such as ESC, format
/// characters (Unicode category Cf: bidirectional controls, zero-width characters, tags), line separators, spaces
/// other than U+0020, unassigned and private-use characters, and blank letters and marks.
pub fn is_visible(char: char) -> bool {
    if char.is_ascii() {
        return matches!(char, ' '..='~');
    }
    // The Default_Ignorable_Code_Point characters (UAX #44) outside category Cf, and the Braille blank.
    let is_blank = matches!(
        char,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    // The standard library has the Unicode tables: `Debug` escapes what is not printable. It also escapes a combining
    // mark, but not after a letter.
    let mut text = [b'x'; 5];
    let length = 1 + char.encode_utf8(&mut text[1..]).len();
    let behind_a_letter = str::from_utf8(&text[..length]).unwrap_or_default();
    !is_blank && behind_a_letter.escape_debug().count() == 2
}

/// Escapes `text` for a terminal or a log line: invisible characters become `\n`, `\u{202e}` and the like.
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_visible, |escaped, char| {
        escaped.extend(char.escape_default());
    })
}

/// Escapes the invisible characters of a JSON text as `\u202e` and the like. Its value stays the same, and so does
/// the white space between its tokens.
pub fn escape_json(text: &str) -> Cow<'_, str> {
    let stays = |char| matches!(char, '\0'..='~') || is_visible(char);
    replace(text, stays, |escaped, char| {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

fn replace(
    text: &str,
    stays: impl Fn(char) -> bool,
    put: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let Some(first) = text.find(|char| !stays(char)) else {
        return text.into();
    };
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    for char in text[first..].chars() {
        if stays(char) {
            escaped.push(char);
        } else {
            put(&mut escaped, char);
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind of deceptive character.
    const FOOLING: &str = "\0\t\r\n\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\
        \u{200d}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{2800}\u{3000}\u{3164}\u{e000}\
        \u{fe0f}\u{feff}\u{fff9}\u{1d173}\u{e0041}\u{e0100}\u{10ffff}";

    #[test]
    fn deceptive_characters_are_escaped_and_ordinary_text_is_not() {
        for char in FOOLING.chars() {
            let expected: String = char.escape_default().collect();
            assert_eq!(escape(&char.to_string()), expected);
        }
        for fine in [
            "",
            "ci runner (\"C:\\x\", 'y')",
            "Zoë, e\u{301}",
            "हिन्दी",
            "العربية",
            "日本語",
            "🚀 …",
        ] {
            assert!(matches!(escape(fine), Cow::Borrowed(_)), "{fine}");
            assert!(matches!(escape_json(fine), Cow::Borrowed(_)), "{fine}");
        }
        assert_eq!(escape("a\u{202e}b\nc"), "a\\u{202e}b\\nc");
    }

    #[test]
    fn escaping_json_keeps_its_value_and_shows_every_character() {
        let value = serde_json::json!({ "note": format!("ä{FOOLING}\"\\"), "n": [1] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escape_json(&text);
        assert!(
            escaped.chars().all(|char| char == '\n' || is_visible(char)),
            "{escaped}"
        );
        assert!(
            escaped.contains("\\u202e") && escaped.contains("\\udb40\\udc41"),
            "{escaped}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }
}
