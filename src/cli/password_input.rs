//! Where a password comes from: a prompt, stdin or a file. Never an argument, which every process on the
//! machine can read.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;

use super::failure::Failure;
use crate::{
    config::password_file::{read_password, read_password_file},
    domain::secret::Secret,
};

/// Where the password comes from. Without either, it is asked for on the terminal.
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
    /// Reads the password; a typed one twice.
    ///
    /// # Errors
    /// It cannot be read, there is no terminal to ask on, or the two differ.
    pub(super) fn read(&self) -> Result<Secret, Failure> {
        if let Some(path) = &self.password_file {
            return Ok(read_password_file(path, "--password-file")?);
        }
        if self.password_stdin {
            return Ok(read_password(io::stdin().lock(), "stdin")?);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "give --password-stdin or --password-file: there is no terminal to ask on",
            ));
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

/// Asks on the terminal for what must not be seen there.
pub(super) fn prompt(question: &str) -> Result<Secret, Failure> {
    rpassword::prompt_password(question)
        .map(Secret::new)
        .map_err(|error| Failure::failed(format!("cannot ask on the terminal: {error}")))
}
