//! What clap has to say about wrong arguments, in our form: one line that names the setting and the reason.

use clap::{
    Command,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use super::failure::Failure;
use crate::config::unseen::{UnseenCharacter, unseen};

impl From<UnseenCharacter> for Failure {
    fn from(error: UnseenCharacter) -> Self {
        Self::usage(format!("{}: {}", name(&error.flag), error.reason))
    }
}

/// The failure that clap's `error` is.
pub(super) fn failure(error: &Error) -> Failure {
    Failure::usage(message(error))
}

fn message(error: &Error) -> String {
    if error.kind() == ErrorKind::ValueValidation
        && let Some(reason) = std::error::Error::source(error)
        && let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg)
    {
        // clap's own text repeats the value, which may be a secret.
        return match unseen_in(error, arg) {
            Some(unseen) => format!("{}: {unseen}", name(arg)),
            None => format!("{}: {reason}", name(arg)),
        };
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg)
        && !arg.starts_with('-')
    {
        // Nor is this repeated: it is where a password or a plaintext lands that was given by mistake.
        return "there is an argument too many; see `hallpass --help`".to_owned();
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let head = text.split("\n\nUsage:").next().unwrap_or(text);
    let head = head
        .split("\n\nFor more information")
        .next()
        .unwrap_or(head);
    let lines = head.lines().map(str::trim).filter(|line| !line.is_empty());
    format!(
        "{}; see `hallpass --help`",
        lines.collect::<Vec<_>>().join(" ")
    )
}

/// What nobody sees in the value of a setting, which is most likely why it was refused.
fn unseen_in(error: &Error, arg: &str) -> Option<String> {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return None;
    };
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

fn flag(arg: &str) -> &str {
    arg.split([' ', '=']).next().unwrap_or(arg)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(args: &[&str]) -> String {
        let args = ["hallpass"].iter().chain(args);
        let error = super::super::command()
            .try_get_matches_from(args)
            .unwrap_err();
        failure(&error).message().unwrap()
    }

    #[test]
    fn a_refused_value_is_told_by_setting_and_reason_alone() {
        assert_eq!(
            refusal(&["serve", "--argon2-passes=1"]),
            "--argon2-passes (HALLPASS_ARGON2_PASSES): 1 is not in 2..=64"
        );
        assert_eq!(
            refusal(&["serve", "--argon2-passes=2\r"]),
            "--argon2-passes (HALLPASS_ARGON2_PASSES): ends with \\r, which does not show: leave it out"
        );
        let member = refusal(&["serve", "--trusted-proxy= 10.0.0.0/8, here "]);
        assert!(member.contains("is not a network"), "{member}");
        let postgres = refusal(&["serve", "--database-url=postgres://me:hunter2@db/x"]);
        assert!(postgres.starts_with("--database-url (HALLPASS_DATABASE_URL): "));
        assert!(!postgres.contains("hunter2"), "{postgres}");
    }

    #[test]
    fn other_mistakes_are_one_line_that_says_where_to_look() {
        assert_eq!(
            refusal(&["user", "get"]),
            "the following required arguments were not provided: <USER>; see `hallpass --help`"
        );
        let unknown = refusal(&["user", "list", "--jsn"]);
        assert!(unknown.contains("--json"), "{unknown}");
        assert!(!unknown.contains('\n'), "{unknown}");
    }

    #[test]
    fn an_argument_too_many_is_not_repeated() {
        for args in [
            &["user", "create", "alice", "hunter2"][..],
            &["user", "create", "alice", "--password=hunter2"],
            &["user", "create", "alice", "--password", "hunter2"],
            &["token", "get", "an-id", "hunter2"],
        ] {
            let refusal = refusal(args);
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
