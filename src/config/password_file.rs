//! A password that comes in a file or through a pipe, as secrets are mounted into containers.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

use crate::domain::secret::Secret;

/// More than this is a mistake: no password has more than 1,024 bytes.
const MAX_BYTES: u64 = 4_096;

/// Reads a password from the file at `path`: all of it but the end of its last line.
///
/// # Errors
/// The file cannot be read, is no text, or is too large.
pub fn read_password_file(path: &Path) -> Result<Secret, PasswordFileError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_password(file, &name),
        Err(source) => Err(PasswordFileError::Read { name, source }),
    }
}

/// Reads a password from `input`, which messages call `name`: all of it but the end of its last line.
///
/// # Errors
/// The input cannot be read, is no text, or is too large.
pub fn read_password(input: impl Read, name: &str) -> Result<Secret, PasswordFileError> {
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
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Secret::new(line.to_owned()))
}

/// Why a password was not read.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The input is not there, not for us, or not UTF-8.
    #[error("cannot read the password from {name}: {source}")]
    Read {
        /// The file, or what else it is called.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// Not a password.
    #[error("{0} is too large to be a password")]
    TooLarge(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_loses_one_line_end_and_nothing_else() {
        for (content, password) in [
            ("a b", "a b"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            (" a\n\n", " a\n"),
        ] {
            let read = read_password(content.as_bytes(), "stdin").unwrap();
            assert_eq!(read.expose(), password);
        }
    }

    #[test]
    fn what_is_no_password_is_refused_with_its_name() {
        let error = read_password(io::repeat(b'x'), "stdin").unwrap_err();
        assert_eq!(error.to_string(), "stdin is too large to be a password");
        assert!(read_password(&[0xff_u8][..], "stdin").is_err());
        let error = read_password_file(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
