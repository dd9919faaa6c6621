//! Asking before something that is hard to undo.

use std::io::{self, IsTerminal, Write};

use clap::Args;

use super::{client::Client, failure::Failure, output};

/// Whether to ask.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Confirmation {
    /// Do not ask. Needed where there is no terminal to ask on.
    #[arg(long, short)]
    yes: bool,
}

impl Confirmation {
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
        let target = client.name();
        if self.yes {
            output::hint(&format!("on {target}"));
            return Ok(());
        }
        self.check()?;
        let answer = read_answer(&output::shown(&format!("On {target}: {question}")))
            .map_err(|error| Failure::failed(format!("cannot ask on the terminal: {error}")))?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::failed("nothing was done"))
        }
    }
}

fn read_answer(question: &str) -> io::Result<String> {
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer)
}
