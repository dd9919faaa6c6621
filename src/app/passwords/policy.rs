//! Password policy: a minimum length and a blocklist, but no rules about kinds of characters
//! (NIST SP 800-63B-4, section 3.1.1.2).

use unicode_normalization::UnicodeNormalization;

use super::blocklist;
use crate::domain::secret::Secret;

const MIN_CODE_POINTS: usize = 15;
const MAX_CODE_POINTS: usize = 256;
const MAX_BYTES: usize = 1_024;

/// NFKC expands one code point to at most 18 (U+FDFA) of at most 4 bytes each.
const MAX_NORMAL_GROWTH: usize = 72;

/// A password that satisfies the policy.
#[derive(Debug)]
pub struct NewPassword(Secret);

impl NewPassword {
    /// Checks `text` as the new password of the user `username`.
    ///
    /// The limits apply to the text as typed. The minimum also applies to its normal form, so that combining marks do
    /// not count twice. Any character is allowed, spaces too, and nothing is trimmed.
    pub fn parse(text: &Secret, username: &str) -> Result<Self, PasswordError> {
        if text.expose().len() > MAX_BYTES {
            return Err(PasswordError::TooManyBytes);
        }
        let normal = normalize(text);
        let typed = text.expose().chars().count();
        if typed > MAX_CODE_POINTS {
            return Err(PasswordError::TooLong);
        }
        if typed.min(normal.expose().chars().count()) < MIN_CODE_POINTS {
            return Err(PasswordError::TooShort);
        }
        if blocklist::is_guessable(&normal, username) {
            return Err(PasswordError::Guessable);
        }
        Ok(Self(normal))
    }

    /// The password in its normal form, as it is hashed.
    pub(super) fn into_normal(self) -> Secret {
        self.0
    }
}

/// Normalizes a password for hashing and comparing. It uses NFKC, as NIST advises, so that é is the same character
/// whether a keyboard sends it as one code point or two.
pub(super) fn normalize(text: &Secret) -> Secret {
    let text = text.expose();
    if text.is_ascii() {
        return Secret::new(text.to_owned());
    }
    // Allocates for the largest result, because growing would leave copies behind that nobody wipes. A longer text
    // cannot be anybody's password, so its copies do no harm and it gets no more than the maximum.
    let mut normal = String::with_capacity(text.len().min(MAX_BYTES) * MAX_NORMAL_GROWTH);
    normal.extend(text.nfkc());
    Secret::new(normal)
}

/// Why a password is refused. The messages never show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than 15 code points.
    #[error("must have at least {MIN_CODE_POINTS} characters")]
    TooShort,
    /// More than 256 code points.
    #[error("must have at most {MAX_CODE_POINTS} characters")]
    TooLong,
    /// More than 1,024 bytes of UTF-8.
    #[error("must have at most 1,024 bytes")]
    TooManyBytes,
    /// On the blocklist, or mostly made of common words, the username, repeats and rows of keys.
    #[error(
        "is among the passwords that are tried first: a common word, the user name, a repeat or a row of keys \
         counts as one character, and at least 8 are needed; try several unrelated words"
    )]
    Guessable,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<NewPassword, PasswordError> {
        NewPassword::parse(&Secret::new(text.to_owned()), "alice")
    }

    const LONG: &str = "vexed marmots juggle quince by moonlight ";

    #[test]
    fn length_is_counted_in_code_points() {
        assert_eq!(parse("vexed marmots").unwrap_err(), PasswordError::TooShort);
        assert!(parse("vexed marmots j").is_ok());
        assert_eq!(
            parse("żółw ćma gęś śń").map(|_| ()),
            Ok(()),
            "15, though 24 bytes"
        );
        let many: String = LONG.chars().cycle().take(256).collect();
        assert!(parse(&many[..200]).is_ok() && parse(&many).is_ok());
        assert_eq!(
            parse(&format!("{many}x")).unwrap_err(),
            PasswordError::TooLong
        );
        let four_bytes: String = ('\u{1F600}'..).take(256).collect();
        assert_eq!(four_bytes.len(), 1_024);
        assert!(parse(&four_bytes).is_ok());
        assert_eq!(
            parse(&format!("{four_bytes}x")).unwrap_err(),
            PasswordError::TooManyBytes
        );
    }

    #[test]
    fn combining_marks_do_not_count_twice() {
        assert_eq!(
            parse("e\u{301}a\u{301}o\u{301}u\u{301}i\u{301}c\u{301}z\u{301}s\u{301}").unwrap_err(),
            PasswordError::TooShort
        );
        assert_eq!(
            parse("\u{FDFA}").unwrap_err(),
            PasswordError::TooShort,
            "nor does growth"
        );
    }

    #[test]
    fn unicode_encodings_normalize_to_the_same_password() {
        let composed = normalize(&Secret::new("caf\u{e9}".to_owned()));
        let decomposed = normalize(&Secret::new("cafe\u{301}".to_owned()));
        assert_eq!(composed.expose(), decomposed.expose());
    }

    #[test]
    fn errors_and_debug_never_show_the_password() {
        let password = parse(LONG).unwrap();
        assert!(!format!("{password:?}").contains("marmots"));
        let refused = parse("passwordpassword").unwrap_err();
        assert!(!refused.to_string().contains("passwordpassword"));
    }

    proptest! {
        #[test]
        fn parsing_any_text_never_panics(text in "\\PC{0,300}", name in "[a-z][a-z0-9-]{1,38}[a-z0-9]") {
            let _ = NewPassword::parse(&Secret::new(text), &name);
        }

        #[test]
        fn random_letters_and_digits_are_never_refused(text in "[a-zA-Z0-9]{43}") {
            prop_assert!(parse(&text).is_ok());
        }

        #[test]
        fn normalizing_is_idempotent(text in "\\PC{0,60}") {
            let once = normalize(&Secret::new(text));
            let twice = normalize(&once);
            prop_assert_eq!(once.expose(), twice.expose());
        }

        #[test]
        fn normal_form_never_exceeds_the_growth_bound(text in "\\PC{1,80}") {
            let grown: String = text.nfkc().collect();
            prop_assert!(grown.len() <= text.len() * MAX_NORMAL_GROWTH);
        }
    }
}
