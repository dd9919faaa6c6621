//! What is read from the environment beside the settings that clap reads: whether a variable is unknown or empty,
//! and secrets, which are never flags.

mod kubernetes;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::{
    Arg, Command,
    builder::{OsStr as ArgName, Resettable},
};

use super::{
    password_file::{PasswordFileError, read_password_file},
    unseen::unseen,
};
use crate::domain::secret::Secret;

/// What the name of every variable of ours begins with.
pub const ENV_PREFIX: &str = "HALLPASS_";
/// The password of the user `admin` that the first start creates.
pub const ADMIN_PASSWORD: &str = "HALLPASS_ADMIN_PASSWORD";
/// The file that holds that password.
pub const ADMIN_PASSWORD_FILE: &str = "HALLPASS_ADMIN_PASSWORD_FILE";

/// The token for a server over HTTP.
pub const TOKEN: &str = "HALLPASS_TOKEN";

/// Variables that have no flag: an argument can be read by every process on the machine.
const SECRETS: [&str; 3] = [ADMIN_PASSWORD, ADMIN_PASSWORD_FILE, TOKEN];

/// The variable's value. One that is empty is not set: to be empty is all that some tools can do to unset one.
pub(super) fn variable(name: impl AsRef<OsStr>) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "config is the one place")]
    let value = env::var_os(name);
    value.filter(|value| !value.is_empty())
}

/// The secret that a variable holds.
///
/// # Errors
/// It is no text, or holds what nobody sees.
pub(super) fn secret(name: &'static str, value: OsString) -> Result<Secret, SecretError> {
    let text = value
        .into_string()
        .map_err(|_| SecretError::NotUtf8(name))?;
    match unseen(&text) {
        None => Ok(Secret::new(text)),
        Some(reason) => Err(SecretError::Unseen { name, reason }),
    }
}

/// Why a variable holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not a text.
    #[error("{0} is not UTF-8 text")]
    NotUtf8(&'static str),
    /// It would be part of the secret.
    #[error("{name} {reason}")]
    Unseen {
        /// The variable.
        name: &'static str,
        /// What it holds that nobody sees, and where.
        reason: String,
    },
}

/// The command as if the variables that are empty were not set, for what is parsed. Its help lacks them.
pub fn without_empty(command: Command) -> Command {
    let unless_empty = |arg: Arg| {
        let is_empty = |name: &OsStr| variable(name).is_none();
        if arg.get_env().is_some_and(is_empty) {
            arg.env(Resettable::<ArgName>::Reset)
        } else {
            arg
        }
    };
    command
        .mut_args(unless_empty)
        .mut_subcommands(without_empty)
}

/// Refuses a `HALLPASS_*` variable that is none of `known`, so that a slip of the pen is no silent default.
///
/// # Errors
/// The first unknown variable, with the known one that is most like it.
pub fn refuse_unknown(known: &[String]) -> Result<(), UnknownVariable> {
    #[expect(clippy::disallowed_methods, reason = "config is the one place")]
    let variables = env::vars_os();
    find_unknown(known, variables).map_or(Ok(()), Err)
}

fn find_unknown(
    known: &[String],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<UnknownVariable> {
    let mut unknown: Vec<String> = variables
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .filter(|(name, value)| !kubernetes::sets(name, &value.to_string_lossy()))
        .map(|(name, _)| name)
        .filter(|name| !SECRETS.contains(&name.as_str()))
        .filter(|name| !known.contains(name))
        .collect();
    // The environment has no order of its own: the same mistake gets the same message.
    unknown.sort_unstable();
    let name = unknown.into_iter().next()?;
    let similar = known
        .iter()
        .map(String::as_str)
        .chain(SECRETS)
        .map(|known| (likeness(known, &name), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.to_owned());
    Some(UnknownVariable { name, similar })
}

/// From 0 to 1. The prefix that all have in common counts nothing.
fn likeness(known: &str, name: &str) -> f64 {
    let tail = |name: &str| name.trim_start_matches(ENV_PREFIX).to_owned();
    strsim::jaro(&tail(known), &tail(name))
}

/// How wide the terminal is, where somebody says so.
pub fn columns() -> Option<u16> {
    variable("COLUMNS")?.to_str()?.parse().ok()
}

/// Which word of a line a shell asks to complete, where its script says so.
pub fn completed_word() -> Option<usize> {
    variable("_CLAP_COMPLETE_INDEX")?.to_str()?.parse().ok()
}

/// Whether colours are unwanted (no-color.org), or the terminal has none.
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|name| name == "dumb")
}

/// A variable that looks like one of ours, but is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the environment variable {name} is unknown: {}", advice(.similar.as_deref()))]
pub struct UnknownVariable {
    name: String,
    similar: Option<String>,
}

fn advice(similar: Option<&str>) -> String {
    match similar {
        Some(similar) => format!("did you mean {similar}?"),
        None => "unset it; `hallpass serve --help` names the known ones".to_owned(),
    }
}

/// Where the environment has the first admin's password.
#[derive(Debug)]
pub enum AdminPassword {
    /// Neither variable is set.
    NotSet,
    /// In the variable itself.
    Given(Secret),
    /// In a file, or what else is there. Only a first start reads it: a secret may be gone when it has served.
    File(PathBuf),
}

impl AdminPassword {
    /// Looks for `HALLPASS_ADMIN_PASSWORD` and `HALLPASS_ADMIN_PASSWORD_FILE`.
    ///
    /// # Errors
    /// Both are set, or the first holds no password.
    pub fn find() -> Result<Self, AdminPasswordError> {
        Self::from_values(variable(ADMIN_PASSWORD), variable(ADMIN_PASSWORD_FILE))
    }

    fn from_values(
        text: Option<OsString>,
        file: Option<OsString>,
    ) -> Result<Self, AdminPasswordError> {
        match (text, file) {
            (None, None) => Ok(Self::NotSet),
            (Some(_), Some(_)) => Err(AdminPasswordError::Both),
            (Some(text), None) => Ok(Self::Given(secret(ADMIN_PASSWORD, text)?)),
            (None, Some(file)) => match unseen(&file.to_string_lossy()) {
                None => Ok(Self::File(file.into())),
                Some(reason) => Err(SecretError::Unseen {
                    name: ADMIN_PASSWORD_FILE,
                    reason,
                }
                .into()),
            },
        }
    }

    /// The password. Where it comes through a pipe, this waits for whoever writes it.
    ///
    /// # Errors
    /// Its file cannot be read, or holds no password.
    pub fn read(self) -> Result<Option<Secret>, PasswordFileError> {
        match self {
            Self::NotSet => Ok(None),
            Self::Given(password) => Ok(Some(password)),
            Self::File(path) => Self::read_file(&path).map(Some),
        }
    }

    /// The password in the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no password.
    pub fn read_file(path: &Path) -> Result<Secret, PasswordFileError> {
        read_password_file(path, ADMIN_PASSWORD_FILE)
    }
}

/// Why the environment gives no password.
#[derive(Debug, thiserror::Error)]
pub enum AdminPasswordError {
    /// Two answers to one question.
    #[error("{ADMIN_PASSWORD} and {ADMIN_PASSWORD_FILE} are both set: unset one of them")]
    Both,
    /// Not a password.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(variables: &[(&str, &str)]) -> Option<UnknownVariable> {
        let known = ["HALLPASS_LISTEN", "HALLPASS_DATABASE_URL"].map(str::to_owned);
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        find_unknown(&known, variables)
    }

    fn unset(name: &str) -> Option<UnknownVariable> {
        unknown(&[(name, "x")])
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_likeliest_known_one() {
        let refusal = unknown(&[("PATH", "/"), ("HALLPASS_DATABASE_URI", "x")]).unwrap();
        assert_eq!(
            refusal.to_string(),
            "the environment variable HALLPASS_DATABASE_URI is unknown: \
             did you mean HALLPASS_DATABASE_URL?"
        );
        let refusal = unset("HALLPASS_ADMIN_PASSWROD").unwrap();
        assert!(refusal.to_string().ends_with("HALLPASS_ADMIN_PASSWORD?"));
        let refusal = unset("HALLPASS_").unwrap();
        assert!(refusal.to_string().contains("unset it"), "{refusal}");
    }

    #[test]
    fn what_is_empty_or_ours_is_not_unknown() {
        for ours in [
            ("HALLPASS_LISTEN", "127.0.0.1:1"),
            ("HALLPASS_ADMIN_PASSWORD", "x"),
            ("HALLPASS_ADMIN_PASSWORD_FILE", "x"),
            ("HALLPASS_TOKEN", "x"),
            ("HALLPASS_LISTN", ""),
            ("HOME", "/"),
        ] {
            assert_eq!(unknown(&[ours]), None);
        }
    }

    #[test]
    fn the_admin_password_comes_from_one_place_and_is_never_shown() {
        let text = || Some(OsString::from("correct horse battery"));
        let given = AdminPassword::from_values(text(), None).unwrap();
        assert_eq!(format!("{given:?}"), "Given([secret])");
        assert!(matches!(
            AdminPassword::from_values(text(), text()),
            Err(AdminPasswordError::Both)
        ));
        let unseen = AdminPassword::from_values(Some("battery\r".into()), None).unwrap_err();
        assert_eq!(
            unseen.to_string(),
            "HALLPASS_ADMIN_PASSWORD ends with \\r, which does not show: leave it out"
        );
        let file = AdminPassword::from_values(None, Some("/nowhere/at/all".into())).unwrap();
        assert!(matches!(file.read(), Err(PasswordFileError::Read { .. })));
    }
}
