//! A line of free text for people: a token's note, a user's description.

use std::fmt;

/// How many bytes a note may have.
pub const MAX_NOTE_BYTES: usize = 1_024;

/// At most [`MAX_NOTE_BYTES`] bytes, no control characters; may be empty. Notes never enter a log, so
/// `Debug` does not show them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// Checks the rule above.
    ///
    /// # Errors
    /// Too long, or a control character.
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
    /// More than [`MAX_NOTE_BYTES`].
    #[error("must be at most {MAX_NOTE_BYTES} bytes")]
    TooLong,
    /// A control character.
    #[error("must not contain control characters")]
    Control,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back_and_never_debugged() {
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
