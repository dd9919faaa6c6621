//! `hallpass completions`: a script by which a shell asks this program how a word goes on. Commands and flags are
//! known here; names, IDs and scopes are asked of what the command on the line works on.
//!
//! Whoever presses a key waits, and expects an answer or none: no question, no message, no failure, nothing that
//! takes longer than [`PATIENCE`].

mod ask;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{self, Path},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Arg, Args, Command, ValueHint};
use clap_complete::{
    ArgValueCompleter, CompleteEnv, CompletionCandidate, PathCompleter, Shell,
    engine::ValueCompleter as _, env::Shells,
};

use super::{failure::Failure, output};
use crate::config::environment;
use ask::{Asked, Question};

/// How long it takes in all, at most.
const PATIENCE: Duration = Duration::from_millis(900);
/// The variable with the shell's name, by which the script asks.
const ASKED_BY: &str = "COMPLETE";

/// `hallpass completions`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs `hallpass completions`.
pub(super) fn run(args: &Completions) -> Result<(), Failure> {
    let program = env::args_os().next().unwrap_or_default();
    let script = script(args.shell, &program)?;
    Ok(output::exact(script.trim())?)
}

/// The script for a shell, which calls `program`: by its name where it was found by its name, so that the script
/// outlives an update.
fn script(shell: Shell, program: &OsStr) -> Result<String, Failure> {
    let program = Path::new(program);
    let program = match program.components().count() {
        1 => program.to_owned(),
        _ => path::absolute(program)?,
    };
    let program = program.to_string_lossy();
    if shell == Shell::Bash {
        // clap's own does not know of words that readline has broken, as it breaks every scope.
        let quoted = format!("'{}'", program.replace('\'', r"'\''"));
        return Ok(include_str!("completions/bash.sh").replace("COMPLETER", &quoted));
    }
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string());
    let completer = completer.expect("all shells of one list are in the other");
    completer.write_registration(ASKED_BY, "hallpass", "hallpass", &program, &mut script)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Answers where a shell asks: as `hallpass -- WORD…`, which is no command, with [`ASKED_BY`]. Whether one has.
pub(super) fn answer(args: &[OsString]) -> bool {
    if args.get(1).is_none_or(|arg| arg != "--") {
        return false;
    }
    let asked = Arc::new(Asked {
        words: args[2..].to_vec(),
        until: Instant::now() + PATIENCE,
    });
    let command = || {
        std::panic::set_hook(Box::new(|_| {}));
        let current = match environment::completed_word() {
            Some(index) => asked.words.get(index),
            None => asked.words.last(),
        };
        let wants_flags = current.is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
        with_completers(super::command(), &asked, wants_flags)
    };
    let folder = env::current_dir().ok();
    let answered =
        CompleteEnv::with_factory(command).try_complete(args.to_vec(), folder.as_deref());
    // A shell that is unknown and a word that cannot be completed are errors to clap.
    answered.unwrap_or(true)
}

/// Flags that nobody has begun to type come only where there is nothing else, so that what is the one value there is
/// completes.
fn with_completers(command: Command, asked: &Arc<Asked>, wants_flags: bool) -> Command {
    let complete = |arg: Arg| {
        let arg = if wants_flags || arg.is_positional() {
            arg
        } else {
            arg.hide(true)
        };
        match Question::of(&arg) {
            Some(question) => {
                let asked = Arc::clone(asked);
                arg.add(ArgValueCompleter::new(move |current: &OsStr| {
                    asked.answer(question, current)
                }))
            }
            None if arg.get_value_hint() == ValueHint::AnyPath => {
                arg.add(ArgValueCompleter::new(paths))
            }
            None => arg,
        }
    };
    command
        .disable_help_flag(!wants_flags)
        .disable_version_flag(!wants_flags)
        .mut_args(complete)
        .mut_subcommands(|sub| with_completers(sub, asked, wants_flags))
}

/// Files and folders, but for names that would steer a terminal or break a line.
fn paths(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = PathCompleter::any().complete(current);
    found.retain(|path| {
        let name = path.get_value().to_str();
        name.is_some_and(|name| !name.contains(char::is_control))
    });
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_has_a_script_that_calls_the_program() {
        for shell in Shell::value_variants() {
            let by_name = script(*shell, OsStr::new("hallpass")).unwrap();
            assert!(by_name.contains(ASKED_BY), "{by_name}");
            let by_path = script(*shell, OsStr::new("./it's/hallpass")).unwrap();
            let folder = env::current_dir().unwrap();
            assert!(by_path.contains(folder.to_str().unwrap()), "{by_path}");
        }
    }

    fn value_names(command: &Command, found: &mut BTreeSet<String>) {
        for arg in command.get_arguments() {
            if arg.get_action().takes_values() && Question::of(arg).is_none() {
                let names = arg.get_value_names().unwrap_or_default();
                found.extend(names.iter().map(ToString::to_string));
            }
        }
        for sub in command.get_subcommands() {
            value_names(sub, found);
        }
    }

    /// What names something that is there is completed, and its value's name is how that is known.
    #[test]
    fn no_argument_that_names_what_is_there_is_left_out() {
        let mut found = BTreeSet::new();
        value_names(&super::super::command(), &mut found);
        for name in &found {
            let named = ["USER", "MACHINE", "OWNER", "TOKEN", "SCOPE", "ACTION"];
            let is_one = named
                .iter()
                .any(|word| name.split(['_', '|']).any(|part| part == *word));
            assert!(!is_one, "{name}: {found:?}");
        }
    }
}
