//! What clap has to say about wrong arguments, in our form: on lines of their own what is wrong, the nearest that is
//! right, and the help of the very command. clap's text would repeat values, which may be secrets.

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use super::{exit_code::ExitCode, failure::Failure};
use crate::config::unseen::{UnseenCharacter, unseen};

/// No word of ours is longer, and hardly a secret is so short: what is longer is not repeated.
const MAX_REPEATED: usize = 30;

impl From<UnseenCharacter> for Failure {
    fn from(error: UnseenCharacter) -> Self {
        Self::usage(format!("{}: {}", name(&error.flag), error.reason))
    }
}

/// The failure that clap's `error` about `args` is.
pub(super) fn failure(error: &Error, args: &[OsString]) -> Failure {
    let root = super::command();
    let (command, path) = called(&root, args);
    let failure = Failure::usage(problem(error, &path));
    let failure = nearest(error, command, &path)
        .into_iter()
        .fold(failure, Failure::with_line);
    failure.with_line(help(&path))
}

/// The same of what else is wrong with how a command was called.
pub(super) fn with_help(failure: Failure, args: &[OsString]) -> Failure {
    if failure.code() == ExitCode::Usage {
        failure.with_line(help(&called(&super::command(), args).1))
    } else {
        failure
    }
}

fn help(path: &str) -> String {
    format!("See `{path} --help`.")
}

/// The command that `args` call, as far as they name one. A flag that is given too early may have a value.
fn called<'a>(root: &'a Command, args: &[OsString]) -> (&'a Command, String) {
    let (mut command, mut path) = (root, root.get_name().to_owned());
    let mut is_behind_a_flag = false;
    for word in args.iter().skip(1).map(|arg| arg.to_string_lossy()) {
        let is_flag = word.starts_with('-');
        if let Some(found) = command.find_subcommand(&*word) {
            command = found;
            path = format!("{path} {}", command.get_name());
        } else if !is_flag && !is_behind_a_flag && word != "help" {
            break;
        }
        is_behind_a_flag = is_flag;
    }
    (command, path)
}

/// What is wrong.
fn problem(error: &Error, path: &str) -> String {
    let arg = text(error, ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let reason = unseen_in(error, arg).or(reason).unwrap_or_default();
            format!("{}: {reason}", name(arg))
        }
        ErrorKind::InvalidValue => {
            let allowed = texts(error, ContextKind::ValidValue);
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            match (allowed.is_empty(), value.is_empty()) {
                (true, _) => format!("{arg} lacks its value"),
                (_, true) => format!("{arg} lacks its value: {}", any_of(&allowed)),
                _ => format!(
                    "{}: {} is none of {}",
                    name(arg),
                    repeated(value),
                    allowed.join(", ")
                ),
            }
        }
        // Where a password or a plaintext lands that was given by mistake.
        ErrorKind::UnknownArgument if !arg.starts_with('-') => {
            "there is an argument too many".to_owned()
        }
        ErrorKind::UnknownArgument => format!("`{path}` has no flag {}", repeated(arg)),
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("`{path}` has no command {}", repeated(word))
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg);
            let missing: Vec<_> = missing.iter().map(|arg| alternatives(arg)).collect();
            format!("missing: {}", missing.join(" "))
        }
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            Some(other) if other == arg => format!("{} is given twice", flag(arg)),
            Some(other) => format!("{} and {} exclude each other", flag(arg), flag(other)),
            None => format!("{} excludes other flags that are given", flag(arg)),
        },
        ErrorKind::TooManyValues => format!("{} takes no value", flag(arg)),
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            text.lines().next().unwrap_or_default().to_owned()
        }
    }
}

/// What is right and near to it.
fn nearest(error: &Error, command: &Command, path: &str) -> Option<String> {
    let arg = text(error, ContextKind::InvalidArg).unwrap_or_default();
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(name) = arg.strip_prefix("--")
    {
        if command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(name))
        {
            return Some(format!("Give {arg} behind `{path}`."));
        }
        let value_name = name.to_uppercase().replace('-', "_");
        if command
            .get_positionals()
            .any(|arg| is_named(arg, &value_name))
        {
            return Some(format!("Give {value_name} without a flag before it."));
        }
    }
    let similar = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let mut similar = similar.iter().flat_map(|kind| texts(error, *kind));
    // clap puts the most similar last, and takes whatever begins alike for similar.
    if let Some(similar) = similar.next_back() {
        let is_flag = similar.starts_with("--");
        if is_flag && similar.len() + 2 > 2 * arg.len() {
            // clap's own usage has the flag in it.
            let usage = command.clone().bin_name(path).render_usage();
            return Some(usage.to_string());
        }
        return Some(format!("Did you mean {similar}?"));
    }
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
            let names: Vec<_> = commands.map(Command::get_name).collect();
            Some(format!("Its commands are {}.", names.join(", ")))
        }
        // How it is called.
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument => {
            match error.get(ContextKind::Usage)? {
                ContextValue::StyledStr(usage) => Some(usage.to_string()),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_named(arg: &Arg, value_name: &str) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().any(|name| name == value_name)
}

fn text(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

fn texts(error: &Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        _ => vec![],
    }
}

/// A word that somebody has written, unless it may be a secret.
pub(super) fn repeated(word: &str) -> &str {
    if word.len() > MAX_REPEATED {
        "[not shown]"
    } else {
        word
    }
}

/// `<--note <TEXT>|--scope <SCOPE>>` as `--note <TEXT> or --scope <SCOPE>`.
fn alternatives(arg: &str) -> String {
    match arg.strip_prefix('<').and_then(|arg| arg.strip_suffix('>')) {
        Some(group) if group.contains('|') => any_of(&group.split('|').collect::<Vec<_>>()),
        _ => arg.to_owned(),
    }
}

fn any_of(words: &[&str]) -> String {
    match words {
        [words @ .., last] if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        words => words.concat(),
    }
}

/// What nobody sees in the value of a setting, which is most likely why it was refused.
fn unseen_in(error: &Error, arg: &str) -> Option<String> {
    let value = text(error, ContextKind::InvalidValue)?;
    // Spaces between the members of a list are allowed.
    let value = if is_list(&super::command(), flag(arg)) {
        value.trim_matches(' ')
    } else {
        value
    };
    unseen(value)
}

fn is_list(command: &Command, flag: &str) -> bool {
    let mut args = command.get_arguments();
    args.any(|arg| arg.get_long() == flag.strip_prefix("--") && arg.get_value_delimiter().is_some())
        || command
            .get_subcommands()
            .any(|command| is_list(command, flag))
}

/// `--limit <NUMBER>` as `--limit`, and `[USER]` as `USER`.
fn flag(arg: &str) -> &str {
    let arg = arg.split([' ', '=']).next().unwrap_or(arg);
    let arg = arg.trim_end_matches("...");
    arg.trim_matches(|char| matches!(char, '<' | '>' | '[' | ']'))
}

/// `--listen <ADDRESS:PORT>` as `--listen (HALLPASS_LISTEN)`: the value may come from either.
fn name(arg: &str) -> String {
    let flag = flag(arg);
    let variable = flag.strip_prefix("--").map(|flag| {
        let name = flag.to_uppercase().replace('-', "_");
        format!("HALLPASS_{name}")
    });
    let known = crate::config::variables(&super::command());
    match variable.filter(|variable| known.contains(variable)) {
        Some(variable) => format!("{flag} ({variable})"),
        None => flag.to_owned(),
    }
}
