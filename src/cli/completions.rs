//! `hallpass completions`: a script by which a shell asks this program for completions. Commands and flags are known
//! here; names, IDs and scopes come from the server or database that the command line names.
//!
//! Somebody who presses a key waits for candidates or none: no prompt, no message, no failure, and never longer than
//! [`PATIENCE`].

mod candidates;

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
use candidates::{Completion, ValueKind};

/// The maximum duration of a completion.
const PATIENCE: Duration = Duration::from_millis(900);
/// The variable in which the script gives the shell's name.
const SHELL_VARIABLE: &str = "COMPLETE";

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

/// The script for a shell. It calls `program` by its name if it was found by its name, so that the script outlives an
/// update.
fn script(shell: Shell, program: &OsStr) -> Result<String, Failure> {
    let program = Path::new(program);
    let program = match program.components().count() {
        1 => program.to_owned(),
        _ => path::absolute(program)?,
    };
    let program = program.to_string_lossy();
    if shell == Shell::Bash {
        // clap's own script does not rejoin words that readline splits, as it splits every scope.
        let quoted = format!("'{}'", program.replace('\'', r"'\''"));
        return Ok(include_str!("completions/bash.sh").replace("COMPLETER", &quoted));
    }
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string());
    let completer = completer.expect("all shells of one list are in the other");
    completer.write_registration(
        SHELL_VARIABLE,
        "hallpass",
        "hallpass",
        &program,
        &mut script,
    )?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Prints candidates if a shell asks for them: as `hallpass -- WORD…`, which is no command, with [`SHELL_VARIABLE`].
/// Whether one does.
pub(super) fn complete(args: &[OsString]) -> bool {
    if args.get(1).is_none_or(|arg| arg != "--") {
        return false;
    }
    let completion = Arc::new(Completion {
        words: args[2..].to_vec(),
        deadline: Instant::now() + PATIENCE,
    });
    let command = || {
        std::panic::set_hook(Box::new(|_| {}));
        let current = match environment::completed_word() {
            Some(index) => completion.words.get(index),
            None => completion.words.last(),
        };
        let wants_flags = current.is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
        with_completers(super::command(), &completion, wants_flags)
    };
    let folder = env::current_dir().ok();
    let completed =
        CompleteEnv::with_factory(command).try_complete(args.to_vec(), folder.as_deref());
    // To clap, an unknown shell and a word without candidates are errors.
    completed.unwrap_or(true)
}

/// Flags that nobody has begun to type are offered only where there are no other candidates, so that a single value
/// completes.
fn with_completers(command: Command, completion: &Arc<Completion>, wants_flags: bool) -> Command {
    let complete = |arg: Arg| {
        let arg = if wants_flags || arg.is_positional() {
            arg
        } else {
            arg.hide(true)
        };
        match ValueKind::of(&arg) {
            Some(kind) => {
                let completion = Arc::clone(completion);
                arg.add(ArgValueCompleter::new(move |current: &OsStr| {
                    completion.candidates(kind, current)
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
        .mut_subcommands(|sub| with_completers(sub, completion, wants_flags))
}

/// Files and folders, except names that would control a terminal or break a line.
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
            assert!(by_name.contains(SHELL_VARIABLE), "{by_name}");
            let by_path = script(*shell, OsStr::new("./it's/hallpass")).unwrap();
            let folder = env::current_dir().unwrap();
            assert!(by_path.contains(folder.to_str().unwrap()), "{by_path}");
        }
    }

    fn value_names(command: &Command, found: &mut BTreeSet<String>) {
        for arg in command.get_arguments() {
            if arg.get_action().takes_values() && ValueKind::of(arg).is_none() {
                let names = arg.get_value_names().unwrap_or_default();
                found.extend(names.iter().map(ToString::to_string));
            }
        }
        for sub in command.get_subcommands() {
            value_names(sub, found);
        }
    }

    /// An argument that names something in the database is recognised by the name of its value.
    #[test]
    fn every_argument_that_names_something_stored_is_completed() {
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
