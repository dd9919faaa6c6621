//! What is read from the environment beside the settings that clap reads: whether a variable is unknown,
//! and the password of the first admin, which is never a flag.

use std::{env, ffi::OsString, path::Path};

use super::{
    password_file::{PasswordFileError, read_password_file},
    target::TOKEN,
};
use crate::domain::secret::Secret;

/// What the name of every variable of ours begins with.
pub const ENV_PREFIX: &str = "HALLPASS_";
/// The password of the user `admin` that the first start creates.
pub const ADMIN_PASSWORD: &str = "HALLPASS_ADMIN_PASSWORD";
/// The file that holds that password.
pub const ADMIN_PASSWORD_FILE: &str = "HALLPASS_ADMIN_PASSWORD_FILE";

/// Variables that have no flag: an argument can be read by every process on the machine.
const SECRETS: [&str; 3] = [ADMIN_PASSWORD, ADMIN_PASSWORD_FILE, TOKEN];

/// Kubernetes sets these by itself, for a service that is named `hallpass`.
const NOT_OURS: [&str; 2] = ["HALLPASS_PORT", "HALLPASS_SERVICE_"];

/// Refuses a `HALLPASS_*` variable that is none of `known`, so that a slip of the pen is no silent default.
///
/// # Errors
/// The first unknown variable, with the known one that is most like it.
pub fn refuse_unknown(known: &[String]) -> Result<(), UnknownVariable> {
    #[expect(clippy::disallowed_methods, reason = "config is the one place")]
    let names = env::vars_os().map(|(name, _)| name);
    find_unknown(known, names).map_or(Ok(()), Err)
}

fn find_unknown(
    known: &[String],
    names: impl Iterator<Item = OsString>,
) -> Option<UnknownVariable> {
    let mut unknown: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(ENV_PREFIX))
        .filter(|name| !NOT_OURS.iter().any(|other| name.starts_with(other)))
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

/// The first admin's password, as the environment has it.
#[derive(Debug)]
pub enum AdminPassword {
    /// Neither variable is set.
    NotSet,
    /// Known.
    Given(Secret),
    /// Its file cannot be read. That matters to a first start only: a secret may be gone when it has served.
    Unreadable(PasswordFileError),
}

impl AdminPassword {
    /// Reads `HALLPASS_ADMIN_PASSWORD` or the file that `HALLPASS_ADMIN_PASSWORD_FILE` names.
    ///
    /// # Errors
    /// Both are set, or one is not UTF-8.
    pub fn read() -> Result<Self, AdminPasswordError> {
        #[expect(clippy::disallowed_methods, reason = "config is the one place")]
        let (text, file) = (
            env::var_os(ADMIN_PASSWORD),
            env::var_os(ADMIN_PASSWORD_FILE),
        );
        Self::from_values(text, file)
    }

    fn from_values(
        text: Option<OsString>,
        file: Option<OsString>,
    ) -> Result<Self, AdminPasswordError> {
        match (text, file) {
            (None, None) => Ok(Self::NotSet),
            (Some(_), Some(_)) => Err(AdminPasswordError::Both),
            (Some(text), None) => text
                .into_string()
                .map(|text| Self::Given(Secret::new(text)))
                .map_err(|_| AdminPasswordError::NotUtf8),
            (None, Some(file)) => {
                let read = read_password_file(Path::new(&file));
                Ok(read.map_or_else(Self::Unreadable, Self::Given))
            }
        }
    }
}

/// Why the environment gives no password.
#[derive(Debug, thiserror::Error)]
pub enum AdminPasswordError {
    /// Two answers to one question.
    #[error("{ADMIN_PASSWORD} and {ADMIN_PASSWORD_FILE} are both set: unset one of them")]
    Both,
    /// Not a text.
    #[error("{ADMIN_PASSWORD} is not UTF-8 text")]
    NotUtf8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(names: &[&str]) -> Option<UnknownVariable> {
        let known = ["HALLPASS_LISTEN", "HALLPASS_DATABASE_URL"].map(str::to_owned);
        find_unknown(&known, names.iter().map(OsString::from))
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_likeliest_known_one() {
        let refusal = unknown(&["PATH", "HALLPASS_DATABASE_URI"]).unwrap();
        assert_eq!(
            refusal.to_string(),
            "the environment variable HALLPASS_DATABASE_URI is unknown: \
             did you mean HALLPASS_DATABASE_URL?"
        );
        let refusal = unknown(&["HALLPASS_ADMIN_PASSWROD"]).unwrap();
        assert!(refusal.to_string().ends_with("HALLPASS_ADMIN_PASSWORD?"));
        let refusal = unknown(&["HALLPASS_"]).unwrap();
        assert!(refusal.to_string().contains("unset it"), "{refusal}");
    }

    #[test]
    fn what_kubernetes_sets_by_itself_and_what_is_ours_passes() {
        let fine = [
            "HALLPASS_PORT",
            "HALLPASS_PORT_8080_TCP_ADDR",
            "HALLPASS_SERVICE_HOST",
            "HALLPASS_LISTEN",
            "HALLPASS_ADMIN_PASSWORD",
            "HALLPASS_ADMIN_PASSWORD_FILE",
            "HOME",
        ];
        assert_eq!(unknown(&fine), None);
        assert!(unknown(&["HALLPASS_SERVICE"]).is_some());
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
        assert!(matches!(
            AdminPassword::from_values(None, Some("/nowhere/at/all".into())),
            Ok(AdminPassword::Unreadable(PasswordFileError::Read { .. }))
        ));
    }
}
