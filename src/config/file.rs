//! The settings file: TOML with a key for each setting, whose values hold where neither a flag nor a variable is given.
//! What the keys are and which values they take, the flags say.

use std::{
    collections::BTreeMap,
    error::Error as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgMatches, Args, Command,
    builder::{OsStr, PossibleValue, Resettable},
};
use toml::de::{DeTable, DeValue};

use super::{
    Settings,
    environment::{ADMIN_PASSWORD, SECRETS, most_similar, variable},
    invisible::invisible_character,
    variable_of, with_variables,
};

/// Which settings file there is.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// A settings file in TOML, for settings that neither a flag nor a variable gives: `hallpass config example` prints
    /// one.
    #[arg(long, env, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The values of a settings file, by the ID of their argument, which is their key.
#[derive(Debug, Default)]
pub struct SettingsFile(BTreeMap<String, Vec<String>>);

impl SettingsFile {
    /// Reads the file that the arguments or the environment name; without one, no setting has a value.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn find(matches: &ArgMatches) -> Result<Self, SettingsFileError> {
        if let Some((_, matches)) = matches.subcommand() {
            return Self::find(matches);
        }
        let Ok(Some(path)) = matches.try_get_one::<PathBuf>("config") else {
            return Ok(Self::default());
        };
        let text = fs::read_to_string(path).map_err(|source| SettingsFileError::Read {
            path: path.clone(),
            source,
        })?;
        let mut file = Self::parse(&text).map_err(|wrong| wrong.in_file(path, &text))?;
        // A variable beats the file, and this one is no flag's.
        if variable(ADMIN_PASSWORD).is_some() {
            file.0.remove("admin_password_file");
        }
        Ok(file)
    }

    /// Whether no setting has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the file gives the setting whose argument is `id`.
    pub fn gives(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The command with these values as its defaults.
    #[must_use]
    pub fn apply(&self, command: Command) -> Command {
        let with_default = |arg: Arg| match self.0.get(arg.get_id().as_str()) {
            Some(values) => arg.default_values(values),
            None => arg,
        };
        command
            .mut_args(with_default)
            .mut_subcommands(|command| self.apply(command))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let table = DeTable::parse(text).map_err(|error| Wrong {
            offset: error.span().unwrap_or_default().start,
            problem: error.message().to_owned(),
        })?;
        let command = settings();
        let mut values = BTreeMap::new();
        for (key, value) in table.into_inner() {
            let wrong_at = |offset, problem| Wrong { offset, problem };
            let (key_at, value_at) = (key.span().start, value.span().start);
            let key = key.into_inner();
            let known =
                find(&command, &key).ok_or_else(|| wrong_at(key_at, unknown(&command, &key)))?;
            let value = texts(known, value.get_ref())
                .map_err(|problem| wrong_at(value_at, format!("{key}: {problem}")))?;
            values.insert(key.into_owned(), value);
        }
        Ok(Self(values))
    }
}

/// The settings, as flags.
pub(super) fn settings() -> Command {
    with_variables(Settings::augment_args(
        Command::new("settings").no_binary_name(true),
    ))
}

/// The settings that have a key: all but the name of the file.
pub(super) fn keys(command: &Command) -> impl Iterator<Item = &Arg> {
    let args = command.get_arguments();
    args.filter(|arg| arg.get_env().is_some() && arg.get_id() != "config")
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    keys(command).find(|arg| arg.get_id() == key)
}

fn unknown(command: &Command, key: &str) -> String {
    if SECRETS.contains(&&*variable_of(key)) {
        return format!("{key}: a secret does not belong in this file: name a file that holds it");
    }
    let known = keys(command).map(|arg| arg.get_id().as_str());
    match most_similar(key, known, str::to_owned) {
        Some(similar) => format!("there is no setting {key}: did you mean {similar}?"),
        None => format!("there is no setting {key}: `hallpass config example` shows all"),
    }
}

/// The value of a setting, as its flag takes it.
fn texts(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let is_list = arg.get_value_delimiter().is_some();
    let texts: Option<Vec<String>> = match value {
        DeValue::Boolean(is_on) if !arg.get_action().takes_values() => {
            return Ok(vec![is_on.to_string()]);
        }
        _ if !arg.get_action().takes_values() => return Err("must be true or false".to_owned()),
        DeValue::Array(values) if is_list => {
            values.iter().map(|value| text(value.get_ref())).collect()
        }
        value => text(value).map(|text| vec![text]),
    };
    let form = if is_list {
        "must be a list of strings"
    } else {
        "must be a string or a number"
    };
    let texts = texts.ok_or(form)?;
    texts.iter().try_for_each(|text| check(arg, text))?;
    Ok(texts)
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// Has clap parse a value, as if a flag gave it.
fn check(arg: &Arg, text: &str) -> Result<(), String> {
    if let Some(reason) = invisible_character(text) {
        return Err(reason);
    }
    let allowed = arg.get_possible_values();
    if !allowed.is_empty() && !allowed.iter().any(|value| value.matches(text, false)) {
        let names: Vec<_> = allowed.iter().map(PossibleValue::get_name).collect();
        return Err(format!("must be one of {}", names.join(", ")));
    }
    let flag = format!("--{}={text}", arg.get_long().unwrap_or_default());
    let arg = arg.clone().env(Resettable::<OsStr>::Reset);
    let parsed = Command::new("setting")
        .no_binary_name(true)
        .arg(arg)
        .try_get_matches_from([flag]);
    parsed.map(drop).map_err(|error| {
        let reason = error.source().map(ToString::to_string);
        reason.unwrap_or_else(|| "is no value of this setting".to_owned())
    })
}

/// Something wrong at an offset in the file.
#[derive(Debug)]
pub(super) struct Wrong {
    offset: usize,
    problem: String,
}

impl Wrong {
    fn in_file(self, path: &Path, text: &str) -> SettingsFileError {
        let before = text.get(..self.offset).unwrap_or(text);
        let in_line = before.rsplit('\n').next().unwrap_or_default();
        SettingsFileError::Wrong {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            problem: self.problem,
        }
    }
}

/// Why there are no settings from the file.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFileError {
    /// It cannot be read.
    #[error("cannot read the settings file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not TOML, or a key or a value in it is wrong.
    #[error("{}, line {line}, column {column}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let wrong = SettingsFile::parse(text).unwrap_err();
        wrong.in_file(Path::new("x.toml"), text).to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_position() {
        for (text, problem) in [
            (
                "listn = 1",
                "line 1, column 1: there is no setting listn: did you mean listen?",
            ),
            (
                "\n[server]\nlisten = \"127.0.0.1:1\"",
                "line 2, column 2: there is no setting server: `hallpass config example` shows all",
            ),
            (
                "listen = \"127.0.0.1:1\"\nmax-body-bytes = 1",
                "line 2, column 1: there is no setting max-body-bytes: did you mean max_body_bytes?",
            ),
            (
                "admin_password = \"x\"",
                "line 1, column 1: admin_password: a secret does not belong in this file: \
                 name a file that holds it",
            ),
            (
                "config = \"y.toml\"",
                "line 1, column 1: there is no setting config: `hallpass config example` shows all",
            ),
            (
                "listen = 8080",
                "line 1, column 10: listen: must be an address and a port, such as \
                 127.0.0.1:8080 or [::]:8080, unix:PATH, or systemd",
            ),
            (
                "metrics_listen = []",
                "line 1, column 18: metrics_listen: must be a string or a number",
            ),
            (
                "listen = true",
                "line 1, column 10: listen: must be a list of strings",
            ),
            (
                "log_format = \"xml\"",
                "line 1, column 14: log_format: must be one of text, json",
            ),
            (
                "accept_clock = \"yes\"",
                "line 1, column 16: accept_clock: must be true or false",
            ),
            (
                "trusted_proxy = [1.5]",
                "line 1, column 17: trusted_proxy: must be a list of strings",
            ),
            (
                "retention = \"90d \"",
                "line 1, column 13: retention: ends with a space: leave it out",
            ),
        ] {
            assert_eq!(wrong(text), format!("x.toml, {problem}"));
        }
        let twice = wrong("listen = \"[::]:1\"\nlisten = \"[::]:2\"");
        assert!(twice.starts_with("x.toml, line 2, column 1: "), "{twice}");
        let not_toml = wrong("listen = 127.0.0.1:1");
        assert!(
            not_toml.starts_with("x.toml, line 1, column 1"),
            "{not_toml}"
        );
    }
}
