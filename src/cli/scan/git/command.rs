//! Running `git`.

use std::{
    fmt::Display,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::cli::{failure::Failure, scan::place::printable};

/// The program, at a repository.
#[derive(Debug)]
pub(super) struct Git {
    repository: PathBuf,
}

/// A run of it, whose end is waited for: where the search breaks off, it is ended.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Git {
    pub(super) fn new(repository: &Path) -> Self {
        Self {
            repository: repository.to_owned(),
        }
    }

    /// A command with these arguments. It reads what is there, replaced objects too, and fetches nothing.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(["--no-replace-objects", "-C"])
            .arg(&self.repository)
            .args(args)
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(Stdio::null());
        command
    }

    /// Whether the history ends where the clone was cut. The first thing to ask: it says if there is no
    /// repository.
    pub(super) fn is_shallow(&self) -> Result<bool, Failure> {
        let output = self
            .command(&["rev-parse", "--is-shallow-repository"])
            .output()
            .map_err(|error| not_started(&error))?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(output.stdout.starts_with(b"true"))
    }

    /// Starts it with a pipe from it. What it has to say goes to stderr.
    pub(super) fn start(&self, args: &[&str]) -> Result<Running, Failure> {
        Running::start(self.command(args).stdout(Stdio::piped()))
    }
}

/// It could not do its part.
pub(super) fn failed(problem: &dyn Display) -> Failure {
    let problem = printable(problem.to_string().as_bytes());
    Failure::failed(format!("git cannot read the repository: {problem}"))
}

fn not_started(error: &io::Error) -> Failure {
    if error.kind() == ErrorKind::NotFound {
        return Failure::failed("--git needs `git`, which is not installed or not on the PATH");
    }
    Failure::failed(format!("cannot start git: {error}"))
}

impl Running {
    /// Starts a command of [`Git::command`].
    pub(super) fn start(command: &mut Command) -> Result<Self, Failure> {
        let child = command.spawn().map_err(|error| not_started(&error))?;
        Ok(Self(child))
    }

    /// The pipe from it.
    pub(super) fn take_output(&mut self) -> Result<ChildStdout, Failure> {
        let output = self.0.stdout.take();
        output.ok_or_else(|| Failure::failed("git has no output"))
    }

    /// The pipe to it.
    pub(super) fn take_input(&mut self) -> Result<ChildStdin, Failure> {
        let input = self.0.stdin.take();
        input.ok_or_else(|| Failure::failed("git has no input"))
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        match self.0.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::failed(format!("git failed: {status}"))),
            Err(error) => Err(Failure::failed(format!("git was lost: {error}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended, which is well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
