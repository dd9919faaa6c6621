//! A line of free text for people: a token's note, or a user's description.

use std::fmt;

/// Maximum length of a note.
pub const MAX_NOTE_BYTES: usize = 1_024;

/// At most [`MAX_NOTE_BYTES`] bytes without control characters; may be empty. Notes must not reach a log, so `Debug`
/// does not show them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// Validates a note from a client.
    ///
    /// # Errors
    /// The text is too long or has a control character.
    pub fn parse(text: String) -> Result<Self, NoteError> {
        if text.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NoteError::Control);
        }
        Ok(Self(text))
    }

    /// From the store.
    pub fn from_row(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[note of {} bytes]", self.0.len())
    }
}

/// Why a note was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It exceeds [`MAX_NOTE_BYTES`].
    #[error("must be at most {MAX_NOTE_BYTES} bytes")]
    TooLong,
    /// It has a control character.
    #[error("must not contain control characters")]
    Control,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_round_trips_and_debug_hides_it() {
        let note = Note::parse("ci runner".to_owned()).unwrap();
        assert_eq!(note.as_str(), "ci runner");
        assert_eq!(Note::from_row("ci runner".to_owned()), note);
        assert_eq!(format!("{note:?}"), "[note of 9 bytes]");
    }

    #[test]
    fn the_limits_are_exact() {
        assert!(Note::parse("x".repeat(1_024)).is_ok());
        assert_eq!(Note::parse("x".repeat(1_025)), Err(NoteError::TooLong));
        assert_eq!(Note::parse("ü".repeat(513)), Err(NoteError::TooLong));
        for control in ["\n", "\0", "\u{7f}", "\u{85}", "\t"] {
            assert_eq!(Note::parse(control.into()), Err(NoteError::Control));
        }
        assert!(Note::parse("Zoë's laptop 🚀".into()).is_ok());
    }
}
