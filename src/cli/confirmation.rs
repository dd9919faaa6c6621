//! Asks before a command does something that is hard to undo. The question and the target's name go to stderr or the
//! terminal, since stdout is for the result.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    process,
    sync::mpsc,
    thread,
};

use clap::Args;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::{client::Client, failure::Failure, output};

/// A shell's exit code for a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Asks before something that ends many things at once. Without a terminal it needs `--yes`.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Confirmation {
    /// Do not ask. Required without a terminal.
    #[arg(long, short)]
    yes: bool,
}

/// Asks on a terminal before something that ends one thing. Without a terminal it goes ahead.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct TerminalConfirmation {
    /// Do not ask. Without a terminal, nothing is asked.
    #[arg(long, short)]
    yes: bool,
}

impl Confirmation {
    pub(super) const fn is_given(self) -> bool {
        self.yes
    }

    /// Fails if there is no `--yes` and no terminal to ask on. For what takes long before it asks.
    pub(super) fn check(self) -> Result<(), Failure> {
        if self.yes || io::stdin().is_terminal() {
            return Ok(());
        }
        Err(Failure::usage(
            "give --yes, since there is no terminal to ask on",
        ))
    }

    /// Names the target, and asks on the terminal unless `--yes` is given. Fails if the answer is no.
    pub(super) fn ask(self, client: &Client, question: &str) -> Result<(), Failure> {
        if self.yes {
            name_target(client);
            return Ok(());
        }
        self.check()?;
        ask(client, question)
    }
}

impl TerminalConfirmation {
    /// Names the target, and asks if there is a terminal and no `--yes`. Only then is the `question` made; `None` asks
    /// nothing. Fails if the answer is no.
    pub(super) fn ask(
        self,
        client: &Client,
        question: impl FnOnce() -> Result<Option<String>, Failure>,
    ) -> Result<(), Failure> {
        let question = if self.yes || !io::stdin().is_terminal() {
            None
        } else {
            question()?
        };
        if let Some(question) = question {
            return ask(client, &question);
        }
        name_target(client);
        Ok(())
    }
}

/// Asks on the terminal which of the answers is meant. Fails if it is none of them.
pub(super) fn choose<T: Copy>(question: &str, answers: &[(&str, T)]) -> Result<T, Failure> {
    let answer = read_answer(&output::safe(question)).map_err(cannot_ask)?;
    let answer = answer.unwrap_or_default().trim().to_lowercase();
    let chosen = answers.iter().find(|(text, _)| *text == answer);
    chosen
        .map(|(_, value)| *value)
        .ok_or_else(|| Failure::failed("nothing was done"))
}

fn cannot_ask(error: io::Error) -> Failure {
    Failure::failed(format!("cannot ask on the terminal: {error}"))
}

/// Explains a failure because something that was just looked up no longer exists.
pub(super) fn deleted_meanwhile(failure: Failure) -> Failure {
    if failure.is_refused_as("not_found") {
        failure.and("somebody else has deleted it meanwhile; nothing was done")
    } else {
        failure
    }
}

fn name_target(client: &Client) {
    output::hint(&format!("on {}", client.name()));
}

fn ask(client: &Client, question: &str) -> Result<(), Failure> {
    let question = output::safe(&format!("On {}: {question} [y/N]", client.name()));
    let answer = read_answer(&question).map_err(cannot_ask)?;
    match answer {
        Some(answer) if ["y", "yes"].contains(&&*answer.trim().to_lowercase()) => Ok(()),
        _ => Err(Failure::failed("nothing was done")),
    }
}

/// `None` after Ctrl-C, which counts as no. After an answer, Ctrl-C ends the process as usual.
fn read_answer(question: &str) -> io::Result<Option<String>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut interrupt = {
        let _here = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    show(&format!("{question} "))?;
    let (answered, answer) = mpsc::channel();
    let interrupted = answered.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            while interrupt.recv().await.is_some() {
                if interrupted.send(Ok(None)).is_err() {
                    process::exit(INTERRUPTED);
                }
            }
        });
    });
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        drop(answered.send(read.map(|_| Some(line))));
    });
    let answer = answer.recv().map_err(io::Error::other)??;
    if answer.as_ref().is_none_or(|line| !line.ends_with('\n')) {
        // Output after the question begins on its own line.
        show("\n")?;
    }
    Ok(answer)
}

/// Writes to the terminal, even if stderr is a file.
fn show(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        write!(stderr, "{text}")?;
        return stderr.flush();
    }
    write!(File::options().write(true).open("/dev/tty")?, "{text}")
}
