//! The environment, beside the settings that clap reads: variables that are empty or unknown, and those that are
//! no flags.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use clap::{
    Arg, Command,
    builder::{OsStr as ArgName, Resettable},
};

use super::kubernetes;

/// The beginning of the names of all our variables.
pub const ENV_PREFIX: &str = "HALLPASS_";

/// The password of the user `admin`, whom the first start creates.
pub const ADMIN_PASSWORD: &str = "HALLPASS_ADMIN_PASSWORD";
/// The token for a server over HTTP.
pub const TOKEN: &str = "HALLPASS_TOKEN";
/// Variables without a flag.
pub(super) const SECRETS: [&str; 2] = [ADMIN_PASSWORD, TOKEN];

/// The variable's value. An empty one counts as not set: some tools cannot unset a variable.
pub(super) fn variable(name: impl AsRef<OsStr>) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "config is the one place")]
    let value = env::var_os(name);
    value.filter(|value| !value.is_empty())
}

/// The command, for parsing, without the variables that are empty. Its help lacks them.
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

/// Refuses a `HALLPASS_*` variable that is none of `known`, so that a misspelt one is not silently ignored.
///
/// # Errors
/// The first unknown variable, with the most similar known one.
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
    let known = known.iter().map(String::as_str).chain(SECRETS);
    let tail = |name: &str| name.trim_start_matches(ENV_PREFIX).to_owned();
    let similar = most_similar(&tail(&name), known, tail).map(str::to_owned);
    Some(UnknownVariable { name, similar })
}

/// The one of `known` that is most likely meant by `name`, compared by the part that `tail` gives.
pub(super) fn most_similar<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    tail: impl Fn(&str) -> String,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro(&tail(known), name), known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The width of the terminal, if the environment says.
pub fn columns() -> Option<u16> {
    variable("COLUMNS")?.to_str()?.parse().ok()
}

/// Which word of the line to complete, if the shell's script says.
pub fn completed_word() -> Option<usize> {
    variable("_CLAP_COMPLETE_INDEX")?.to_str()?.parse().ok()
}

/// Whether to print without colours: the user asks for none (no-color.org), or the terminal has none.
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|name| name == "dumb")
}

/// A variable with our prefix that does not exist.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(variables: &[(&str, &str)]) -> Option<UnknownVariable> {
        let known = ["LISTEN", "DATABASE_URL", "ADMIN_PASSWORD_FILE"];
        let known = known.map(|name| format!("{ENV_PREFIX}{name}"));
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
    fn an_empty_or_known_variable_is_not_unknown() {
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
}
