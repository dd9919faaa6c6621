//! Text that somebody else wrote, as people are shown it: what does not show, or what changes how the rest
//! shows, is written as an escape, so that no note, name or path can forge a line, hide a part or steer a
//! terminal.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a character shows, and changes nothing around it. Not so: controls (ESC and its like), format
/// characters (Unicode's Cf: directions, zero widths, tags), separators of lines, spaces other than U+0020, what
/// is not assigned or for private use, and letters and marks that are blank.
pub fn is_visible(char: char) -> bool {
    if char.is_ascii() {
        return matches!(char, ' '..='~');
    }
    // Default_Ignorable_Code_Point (UAX #44) as far as it is not among the format characters, and Braille's blank.
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
    // The standard library has Unicode's tables: `Debug` escapes what is not printable. It would escape a
    // combining mark too, but not behind a letter.
    let mut text = [b'x'; 5];
    let length = 1 + char.encode_utf8(&mut text[1..]).len();
    let behind_a_letter = str::from_utf8(&text[..length]).unwrap_or_default();
    !is_blank && behind_a_letter.escape_debug().count() == 2
}

/// `text` for a terminal or a line of text: what does not show as `\n`, `\u{202e}` and the like.
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_visible, |escaped, char| {
        escaped.extend(char.escape_default());
    })
}

/// The same JSON value in a JSON text that shows all of its characters: as `\u202e` and the like. White space
/// around its values stays.
pub fn escape_json(text: &str) -> Cow<'_, str> {
    let stays = |char| matches!(char, '\0'..='~') || is_visible(char);
    replace(text, stays, |escaped, char| {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // A text takes all that is written to it.
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

    /// Of each kind of what fools a reader, one.
    const FOOLING: &str = "\0\t\r\n\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\
        \u{200d}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{2800}\u{3000}\u{3164}\u{e000}\
        \u{fe0f}\u{feff}\u{fff9}\u{1d173}\u{e0041}\u{e0100}\u{10ffff}";

    #[test]
    fn what_fools_a_reader_is_escaped_and_what_people_write_stays() {
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
    fn a_json_text_is_the_same_value_and_shows_all_of_it() {
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
