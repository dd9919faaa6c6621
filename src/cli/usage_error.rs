//! Usage errors: what is wrong, the closest correction, and the command's help, on a line each. clap's own messages repeat
//! values, which may be secrets.

use std::ffi::OsString;

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use super::{exit_code::ExitCode, failure::Failure};
use crate::config::{
    invisible::{InvisibleCharacter, invisible_character},
    variable_of, variables,
};

/// Longer words are not repeated: they may be secrets, and no command, flag or value is as long.
const MAX_REPEATED: usize = 30;

impl From<InvisibleCharacter> for Failure {
    fn from(error: InvisibleCharacter) -> Self {
        Self::usage(format!("{}: {}", name(&error.flag), error.reason))
    }
}

/// Turns clap's `error` about `args` into a failure.
pub(super) fn failure(error: &Error, args: &[OsString]) -> Failure {
    let root = super::command();
    let (command, path) = called(&root, args);
    let failure = Failure::usage(problem(error, &path));
    let failure = nearest(error, command, &path)
        .into_iter()
        .fold(failure, Failure::with_line);
    failure.with_line(help(&path))
}

/// Adds the command's help to another usage failure.
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

/// The command that `args` call, as far as they name one. A flag before its command may have a value.
fn called<'a>(root: &'a Command, args: &[OsString]) -> (&'a Command, String) {
    let (mut command, mut path) = (root, root.get_name().to_owned());
    let mut follows_a_flag = false;
    for word in args.iter().skip(1).map(|arg| arg.to_string_lossy()) {
        let is_flag = word.starts_with('-');
        if let Some(found) = command.find_subcommand(&*word) {
            command = found;
            path = format!("{path} {}", command.get_name());
        } else if !is_flag && !follows_a_flag && word != "help" {
            break;
        }
        follows_a_flag = is_flag;
    }
    (command, path)
}

fn problem(error: &Error, path: &str) -> String {
    let arg = text(error, ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let reason = invisible_in(error, arg).or(reason).unwrap_or_default();
            format!("{}: {reason}", name(arg))
        }
        ErrorKind::InvalidValue => {
            let allowed = texts(error, ContextKind::ValidValue);
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            match (allowed.is_empty(), value.is_empty()) {
                (true, _) => format!("{arg} needs a value"),
                (_, true) => format!("{arg} needs a value: {}", any_of(&allowed)),
                _ => format!(
                    "{}: {} is not one of {}",
                    name(arg),
                    repeated(value),
                    allowed.join(", ")
                ),
            }
        }
        // It may be a password or a plaintext.
        ErrorKind::UnknownArgument if !arg.starts_with('-') => {
            "there are too many arguments".to_owned()
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
            Some(other) => format!("{} and {} cannot be combined", flag(arg), flag(other)),
            None => format!(
                "{} cannot be combined with other flags that are given",
                flag(arg)
            ),
        },
        ErrorKind::TooManyValues => format!("{} takes no value", flag(arg)),
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            text.lines().next().unwrap_or_default().to_owned()
        }
    }
}

/// The closest correction.
fn nearest(error: &Error, command: &Command, path: &str) -> Option<String> {
    let arg = text(error, ContextKind::InvalidArg).unwrap_or_default();
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(name) = arg.strip_prefix("--")
    {
        if command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(name))
        {
            return Some(format!("Give {arg} after `{path}`."));
        }
        let value_name = name.to_uppercase().replace('-', "_");
        if command
            .get_positionals()
            .any(|arg| is_named(arg, &value_name))
        {
            return Some(format!("Give {value_name} without a flag before it."));
        }
    }
    let kinds = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let mut similar = kinds.into_iter().flat_map(|kind| texts(error, kind));
    // clap puts the most similar last, and counts everything with the same beginning as similar.
    if let Some(similar) = similar.next_back() {
        let is_flag = similar.starts_with("--");
        if is_flag && similar.len() + 2 > 2 * arg.len() {
            // clap's usage in the error includes the wrong flag.
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

/// `word`, unless it may be a secret.
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

/// The invisible character in a value, which is most likely why it was refused.
fn invisible_in(error: &Error, arg: &str) -> Option<String> {
    let value = text(error, ContextKind::InvalidValue)?;
    // Spaces around the members of a list are allowed.
    let value = if is_list(&super::command(), flag(arg)) {
        value.trim_matches(' ')
    } else {
        value
    };
    invisible_character(value)
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

/// `--listen <ADDRESS:PORT>` as `--listen (HALLPASS_LISTEN)`, since the value may come from either.
fn name(arg: &str) -> String {
    let flag = flag(arg);
    let variable = flag.strip_prefix("--").map(variable_of);
    let known = variables(&super::command());
    match variable.filter(|variable| known.contains(variable)) {
        Some(variable) => format!("{flag} ({variable})"),
        None => flag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines except the last, which names the help of `command`.
    fn refusal_of(command: &str, args: &[&str]) -> String {
        let args: Vec<OsString> = ["hallpass"].iter().chain(args).map(Into::into).collect();
        let error = crate::cli::command()
            .try_get_matches_from(&args)
            .unwrap_err();
        let text = failure(&error, &args).text().unwrap();
        let text = text.strip_prefix("hallpass: ").unwrap();
        let end = format!("\nSee `{command} --help`.\n");
        text.strip_suffix(&end)
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned()
    }

    #[test]
    fn a_refused_value_is_reported_by_setting_and_reason() {
        let serve = |arg| refusal_of("hallpass serve", &["serve", arg]);
        let passes = "--argon2-passes (HALLPASS_ARGON2_PASSES)";
        assert_eq!(
            serve("--argon2-passes=1"),
            format!("{passes}: must be a whole number from 2 to 64, not 1")
        );
        assert_eq!(
            serve("--argon2-passes=2\r"),
            format!("{passes}: ends with \\r, which does not show: leave it out")
        );
        let member = serve("--trusted-proxy= 10.0.0.0/8, here ");
        assert!(member.contains("is not a network"), "{member}");
        let postgres = serve("--database-url=postgres://me:hunter2@db/x");
        assert!(postgres.starts_with("--database-url (HALLPASS_DATABASE_URL): "));
        assert!(!postgres.contains("hunter2"), "{postgres}");
    }

    /// Arguments, the command, and the lines.
    const CASES: &str = "\
user get | user get | missing: <USER> / Usage: hallpass user get <USER>
user list --jsn | user list | `hallpass user list` has no flag --jsn / Did you mean --json?
--json user list | user list | `hallpass user list` has no flag --json / Give --json after `hallpass user list`.
--server http://[::1]:1 user list | user list | `hallpass user list` has no flag --server / Give --server after `hallpass user list`.
token create --user ci-bot | token create | `hallpass token create` has no flag --user / Give USER without a flag before it.
token revoke --all | token revoke | `hallpass token revoke` has no flag --all / Usage: hallpass token revoke [OPTIONS] [ID|-]...
token list --note deploy | token list | `hallpass token list` has no flag --note / Usage: hallpass token list [OPTIONS] [USER]
tokn list |  | `hallpass` has no command tokn / Did you mean token?
data chekc | data | `hallpass data` has no command chekc / Did you mean check?
audit remove | audit | `hallpass audit` has no command remove / Its commands are list, export, tail, verify.
user set-role bob adm | user set-role | ROLE: adm is not one of admin, member / Did you mean admin?
token list --all --state | token list | --state <STATE> needs a value: active, disabled or expired
token list --limit | token list | --limit <NUMBER> needs a value
token list --limit -1 | token list | --limit: must be a whole number from 1 to 1000000000, not -1
token rotate 0000000000000000000000 --grace -1h | token rotate | --grace: is no duration such as 90d, 36h or 10s
token list --all --all | token list | --all is given twice
token list bob --all | token list | USER and --all cannot be combined
token list --json=yes | token list | --json takes no value";

    #[test]
    fn the_error_and_its_closest_correction_are_lines() {
        for case in CASES.lines() {
            let [args, command, lines] = case.splitn(3, " | ").collect::<Vec<_>>()[..] else {
                panic!("{case}");
            };
            let args: Vec<_> = args.split(' ').collect();
            let command = format!("hallpass {command}");
            assert_eq!(
                refusal_of(command.trim_end(), &args),
                lines.replace(" / ", "\n")
            );
        }
        let update = ["token", "update", "0000000000000000000000"];
        let missing = refusal_of("hallpass token update", &update);
        let first = "missing: --note <TEXT>, --scope <SCOPE> or --cidr <CIDR>\n";
        assert!(missing.starts_with(first), "{missing}");
    }

    #[test]
    fn possible_secrets_are_not_repeated() {
        for (command, args) in [
            ("user create", "user create alice SECRET"),
            ("user create", "user create alice --password=SECRET"),
            ("user create", "user create alice --password SECRET"),
            ("user create", "user create alice --SECRET"),
            ("user create", "user create alice hunter2"),
            ("user set-role", "user set-role alice SECRET"),
            ("token get", "token get SECRET"),
            ("token list", "token list --limit SECRET"),
            ("token list", "token list --json=SECRET"),
            ("token", "token SECRET"),
            ("", "SECRET"),
        ] {
            let args = args.replace("SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2");
            let args: Vec<_> = args.split(' ').collect();
            let refusal = refusal_of(format!("hallpass {command}").trim_end(), &args);
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
