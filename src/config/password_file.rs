//! A secret that comes in a file or through a pipe, as secrets are mounted into containers.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

use super::unseen::unseen;
use crate::domain::secret::Secret;

/// More than this is a mistake: no password has more than 1,024 bytes.
const MAX_BYTES: u64 = 4_096;

/// Reads a secret from the file or pipe at `path`, which the setting `setting` names.
///
/// # Errors
/// The file cannot be read, is no text, is too large, or is not one line.
pub fn read_password_file(path: &Path, setting: &str) -> Result<Secret, PasswordFileError> {
    let name = format!("{} ({setting})", path.display());
    match File::open(path) {
        Ok(file) => read_password(file, &name),
        Err(source) => Err(PasswordFileError::Read { name, source }),
    }
}

/// Reads a secret from `input`, which messages call `name`: one line, all of it but its end.
///
/// # Errors
/// The input cannot be read, is no text, is too large, or is not one line.
pub fn read_password(input: impl Read, name: &str) -> Result<Secret, PasswordFileError> {
    let text = read(input, name)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_empty = line.is_empty().then(|| "is empty".to_owned());
    match is_empty.or_else(|| unseen(line)) {
        None => Ok(Secret::new(line.to_owned())),
        Some(problem) => {
            let name = name.to_owned();
            Err(PasswordFileError::NotALine { name, problem })
        }
    }
}

/// Reads a text in which somebody looks for a secret, from `input`, which messages call `name`: all of it.
///
/// # Errors
/// The input cannot be read, is no text, or is too large.
pub fn read_pasted(input: impl Read, name: &str) -> Result<Secret, PasswordFileError> {
    read(input, name).map(|text| Secret::new(text.as_str().to_owned()))
}

fn read(input: impl Read, name: &str) -> Result<Zeroizing<String>, PasswordFileError> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    input
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|source| PasswordFileError::Read {
            name: name.to_owned(),
            source,
        })?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(PasswordFileError::TooLarge(name.to_owned()));
    }
    Ok(text)
}

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The input is not there, not for us, or not UTF-8.
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
    /// Nothing, more than one line, a byte order mark, or white space that would be part of it.
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
            let read = read_password(content.as_bytes(), "stdin").unwrap();
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
            let error = read_password(content.as_bytes(), "stdin").unwrap_err();
            let expected = format!("the secret in stdin {problem}");
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert!(read_pasted(content.as_bytes(), "stdin").is_ok());
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_name() {
        let error = read_password(io::repeat(b'x'), "stdin").unwrap_err();
        assert_eq!(error.to_string(), "stdin is too large to be a secret");
        assert!(read_password(&[0xff_u8][..], "stdin").is_err());
        let error = read_password_file(Path::new("/nowhere/at/all"), "--x").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/at/all (--x)"), "{text}");
    }
}
