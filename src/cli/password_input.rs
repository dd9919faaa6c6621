//! Reads passwords and plaintexts from a prompt, stdin or a file, since every process on the machine can read
//! arguments.

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::failure::Failure;
use crate::{
    config::secrets::{read_pasted, read_secret, read_secret_file},
    domain::secret::Secret,
};

/// Where the password comes from; by default, a prompt.
#[derive(Args, Debug)]
pub(super) struct PasswordInput {
    /// Read the password from stdin.
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,

    /// Read the password from a file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordInput {
    pub(super) const fn is_given(&self) -> bool {
        self.password_stdin || self.password_file.is_some()
    }

    /// Reads an existing password. Prompts for it once.
    pub(super) fn read_once(&self) -> Result<Secret, Failure> {
        match self.read_given()? {
            Some(password) => Ok(password),
            None => prompt("Password: "),
        }
    }

    /// `None` if the terminal is to prompt for it.
    fn read_given(&self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.password_file {
            return Ok(Some(read_secret_file(path, "--password-file")?));
        }
        if self.password_stdin {
            return Ok(Some(read_secret(io::stdin().lock(), "stdin")?));
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "give --password-stdin or --password-file, since there is no terminal to ask on",
            ));
        }
        Ok(None)
    }

    /// Reads a new password. Prompts for it twice.
    pub(super) fn read(&self) -> Result<Secret, Failure> {
        if let Some(password) = self.read_given()? {
            return Ok(password);
        }
        let first = prompt("New password: ")?;
        let second = prompt("Again: ")?;
        if first.expose() == second.expose() {
            Ok(first)
        } else {
            Err(Failure::failed(
                "the two passwords differ: nothing was done",
            ))
        }
    }
}

/// Reads a plaintext from stdin, or prompts for it on a terminal if there is no argument. Removes white space around it.
/// The only valid argument is `-`.
pub(super) fn read_plaintext(from: &[String]) -> Result<Secret, Failure> {
    if from.iter().any(|from| from != "-") {
        return Err(Failure::usage(
            "a plaintext cannot be an argument: pipe it in, or leave it out and you are asked. \
             Others may have seen this one; if it was real, delete the token",
        ));
    }
    let text = if from.is_empty() && io::stdin().is_terminal() {
        prompt("Token: ")?
    } else {
        read_pasted(io::stdin().lock(), "stdin")
            .map_err(|_| Failure::failed("stdin holds no token"))?
    };
    Ok(Secret::new(text.expose().trim().to_owned()))
}

/// Prompts on the terminal without showing what is typed.
pub(super) fn prompt(question: &str) -> Result<Secret, Failure> {
    ask(question)
        .map(Secret::new)
        .map_err(|error| Failure::failed(format!("cannot ask on the terminal: {error}")))
}

/// `rpassword` hides the input only after it has written the question. Text pasted in between would show.
fn ask(question: &str) -> io::Result<String> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
    let answer = rpassword::prompt_password(question);
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    answer
}
