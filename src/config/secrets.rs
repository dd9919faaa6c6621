//! Secrets: in a variable, in a file that the setting of its name with `_FILE` names, or from stdin; never in a flag,
//! which every process on the machine can read.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{environment::variable, invisible::invisible_character};
use crate::domain::secret::Secret;

/// The setting of the file that holds the first admin's password.
pub const ADMIN_PASSWORD_FILE: &str = "HALLPASS_ADMIN_PASSWORD_FILE";

/// Where a secret is. What may come through a pipe is read when it is needed.
#[derive(Debug)]
pub enum SecretSource {
    /// Nowhere.
    NotSet,
    /// In the variable.
    Variable(Secret),
    /// In a file.
    File(PathBuf),
}

impl SecretSource {
    /// The source of the secret whose variable is `name`, and for which a setting names `file`.
    ///
    /// # Errors
    /// Both are set, or the variable holds no secret.
    pub fn find(name: &'static str, file: Option<&Path>) -> Result<Self, SecretError> {
        Self::of(name, variable(name), file)
    }

    pub(super) fn of(
        name: &'static str,
        text: Option<OsString>,
        file: Option<&Path>,
    ) -> Result<Self, SecretError> {
        let text = match (text, file) {
            (None, None) => return Ok(Self::NotSet),
            (None, Some(file)) => return Ok(Self::File(file.to_owned())),
            (Some(_), Some(_)) => return Err(SecretError::Both(name)),
            (Some(text), None) => text.into_string(),
        };
        let text = text.map_err(|_| SecretError::NotUtf8(name))?;
        match invisible_character(&text) {
            None => Ok(Self::Variable(Secret::new(text))),
            Some(reason) => Err(SecretError::Invisible { name, reason }),
        }
    }
}

/// Why the environment gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Two values for one setting.
    #[error("{0} and {0}_FILE are both set: unset one of them")]
    Both(&'static str),
    /// Not a text.
    #[error("{0} is not UTF-8 text")]
    NotUtf8(&'static str),
    /// The character would be part of the secret.
    #[error("{name} {reason}")]
    Invisible {
        /// The variable.
        name: &'static str,
        /// Which character it holds, and where.
        reason: String,
    },
}

/// More is a mistake: no password has more than 1,024 bytes.
const MAX_BYTES: u64 = 4_096;

/// Reads a secret from the file or pipe at `path`, which the setting `setting` names.
///
/// # Errors
/// The file cannot be read, is no text, is too large, or is not one line.
pub fn read_secret_file(path: &Path, setting: &str) -> Result<Secret, SecretFileError> {
    let name = format!("{} ({setting})", path.display());
    match File::open(path) {
        Ok(file) => read_secret(file, &name),
        Err(source) => Err(SecretFileError::Read { name, source }),
    }
}

/// Reads a secret from `input`, which messages call `name`: one line, all of it but its end.
///
/// # Errors
/// The input cannot be read, is no text, is too large, or is not one line.
pub fn read_secret(input: impl Read, name: &str) -> Result<Secret, SecretFileError> {
    let text = read(input, name)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_empty = line.is_empty().then(|| "is empty".to_owned());
    match is_empty.or_else(|| invisible_character(line)) {
        None => Ok(Secret::new(line.to_owned())),
        Some(problem) => {
            let name = name.to_owned();
            Err(SecretFileError::NotALine { name, problem })
        }
    }
}

/// Reads all of `input`, which messages call `name`: a text that a secret is part of.
///
/// # Errors
/// The input cannot be read, is no text, or is too large.
pub fn read_pasted(input: impl Read, name: &str) -> Result<Secret, SecretFileError> {
    read(input, name).map(|text| Secret::new(text.as_str().to_owned()))
}

fn read(input: impl Read, name: &str) -> Result<Zeroizing<String>, SecretFileError> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    input
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|source| SecretFileError::Read {
            name: name.to_owned(),
            source,
        })?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(SecretFileError::TooLarge(name.to_owned()));
    }
    Ok(text)
}

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The input does not exist, is not readable, or is not UTF-8.
    #[error("cannot read the secret from {name}: {source}")]
    Read {
        /// The file, or what else it is called.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// Not a password.
    #[error("{0} is too large to be a secret")]
    TooLarge(String),
    /// Empty, more than one line, or with an invisible character or surrounding white space.
    #[error("the secret in {name} {problem}")]
    NotALine {
        /// The file, or what else it is called.
        name: String,
        /// What is wrong, and where.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_loses_one_line_end_and_is_one_line() {
        for (content, password) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a")] {
            let read = read_secret(content.as_bytes(), "stdin").unwrap();
            assert_eq!(read.expose(), password);
        }
        for (content, problem) in [
            ("a\n\n", "ends with \\n"),
            ("a\r\n\r\n", "ends with \\n"),
            ("a\r\r\n", "ends with \\r"),
            ("a\nb\n", "holds \\n"),
            ("\u{feff}a\n", "holds \\u{feff}"),
            ("a \n", "ends with a space"),
            ("\ta", "begins with \\t"),
            ("\n", "is empty"),
        ] {
            let error = read_secret(content.as_bytes(), "stdin").unwrap_err();
            let expected = format!("the secret in stdin {problem}");
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert!(read_pasted(content.as_bytes(), "stdin").is_ok());
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_name() {
        let error = read_secret(io::repeat(b'x'), "stdin").unwrap_err();
        assert_eq!(error.to_string(), "stdin is too large to be a secret");
        assert!(read_secret(&[0xff_u8][..], "stdin").is_err());
        let error = read_secret_file(Path::new("/nowhere/at/all"), "--x").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/at/all (--x)"), "{text}");
    }

    #[test]
    fn a_secret_comes_from_one_place_and_is_never_shown() {
        let text = || Some(OsString::from("correct horse battery"));
        let of = |text, file: Option<&str>| SecretSource::of("NAME", text, file.map(Path::new));
        let given = of(text(), None).unwrap();
        assert_eq!(format!("{given:?}"), "Variable([secret])");
        let both = of(text(), Some("file")).unwrap_err();
        assert_eq!(
            both.to_string(),
            "NAME and NAME_FILE are both set: unset one of them"
        );
        let invisible = of(Some("battery\r".into()), None).unwrap_err();
        assert_eq!(
            invisible.to_string(),
            "NAME ends with \\r, which does not show: leave it out"
        );
        assert!(matches!(of(None, None), Ok(SecretSource::NotSet)));
        assert!(matches!(of(None, Some("f")), Ok(SecretSource::File(_))));
    }
}
