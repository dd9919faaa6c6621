//! Asking before something that is hard to undo. The question, like the name of what is worked on, goes to stderr or
//! the terminal: stdout is for the answer of the command alone.

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

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Whether to ask before what ends many things at once, which nobody does without being asked.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Confirmation {
    /// Do not ask. Needed where there is no terminal to ask on.
    #[arg(long, short)]
    yes: bool,
}

/// Whether to ask before what ends one thing, which a script may do as it is.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct TerminalConfirmation {
    /// Do not ask. Where there is no terminal to ask on, nothing is asked.
    #[arg(long, short)]
    yes: bool,
}

impl Confirmation {
    /// Whether nobody is asked.
    pub(super) const fn is_given(self) -> bool {
        self.yes
    }

    /// Whether there will be a way to know, for what takes long before it asks.
    ///
    /// # Errors
    /// Nobody said yes, and there is no terminal to ask on.
    pub(super) fn check(self) -> Result<(), Failure> {
        if self.yes || io::stdin().is_terminal() {
            return Ok(());
        }
        Err(Failure::usage("give --yes: there is no terminal to ask on"))
    }

    /// Names what the command works on, and asks on the terminal, if nobody said yes already.
    ///
    /// # Errors
    /// The answer is no, or there is no terminal.
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
    /// Names what the command works on, and asks where there is a terminal and nobody said yes already. Only then is
    /// the `question` put together; `None`: there is nothing to ask.
    ///
    /// # Errors
    /// The answer is no, or there is no question for a reason of its own.
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

/// Of what was there when it was looked up.
pub(super) fn gone_meanwhile(failure: Failure) -> Failure {
    if failure.is_refused_as("not_found") {
        failure.and("it was there a moment ago, so somebody else has deleted it; nothing was done")
    } else {
        failure
    }
}

fn name_target(client: &Client) {
    output::hint(&format!("on {}", client.name()));
}

fn ask(client: &Client, question: &str) -> Result<(), Failure> {
    let question = output::shown(&format!("On {}: {question}", client.name()));
    let answer = read_answer(&question)
        .map_err(|error| Failure::failed(format!("cannot ask on the terminal: {error}")))?;
    match answer {
        Some(answer) if ["y", "yes"].contains(&&*answer.trim().to_lowercase()) => Ok(()),
        _ => Err(Failure::failed("nothing was done")),
    }
}

/// `None`: Ctrl-C, which is said like any other no. Once there is an answer, it ends the process as ever.
fn read_answer(question: &str) -> io::Result<Option<String>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut interrupt = {
        let _here = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    show(&format!("{question} [y/N] "))?;
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
        // What follows does not stand behind the question.
        show("\n")?;
    }
    Ok(answer)
}

/// Where a person sees it: stderr may be a file.
fn show(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        write!(stderr, "{text}")?;
        return stderr.flush();
    }
    write!(File::options().write(true).open("/dev/tty")?, "{text}")
}
