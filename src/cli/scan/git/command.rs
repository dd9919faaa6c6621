//! Runs `git` on a temporary repository, with a clean environment and limited memory and time, since a repository can be
//! made to exhaust both.

use std::{
    env,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::failure::Failure;

/// `git` in a repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct Git<'a> {
    pub(super) program: &'a GitProgram,
    /// The temporary repository.
    pub(super) folder: &'a Path,
    pub(super) deadline: Instant,
}

/// The `git` program.
#[derive(Debug)]
pub(super) struct GitProgram {
    path: PathBuf,
    search_path: std::ffi::OsString,
}

impl GitProgram {
    /// Finds it on the PATH, in absolute folders only: a relative one could be in the repository.
    #[expect(
        clippy::disallowed_methods,
        reason = "the PATH is the shell's, not a setting of Hallpass"
    )]
    pub(super) fn find() -> Result<Self, Failure> {
        let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let folders: Vec<_> = env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .collect();
        let found = folders.iter().map(|folder| folder.join("git"));
        let found = found.into_iter().find(|program| program.is_file());
        Ok(Self {
            path: found.ok_or_else(|| {
                Failure::failed("--git needs `git`, which is not installed or not on the PATH")
            })?,
            search_path: env::join_paths(folders).unwrap_or_default(),
        })
    }
}

/// The memory limit of a process in KiB, for what `ulimit` counts as data. Mapped files are not.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryLimit(pub(super) u32);

/// A running `git`. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct GitProcess {
    process: Child,
    /// The file with its stderr.
    errors: Option<PathBuf>,
}

impl Git<'_> {
    /// Starts it with a pipe for its output. With `has_input` it has a pipe for its input, too, and its stderr is ignored,
    /// since it reports errors in its output.
    pub(super) fn start(
        self,
        args: &[&str],
        memory: MemoryLimit,
        has_input: bool,
    ) -> Result<GitProcess, Failure> {
        let start = || -> io::Result<GitProcess> {
            let errors = (!has_input).then(|| self.folder.join("errors"));
            let stderr = match &errors {
                Some(errors) => File::create(errors)?.into(),
                None => Stdio::null(),
            };
            // The shell sets the limits. A lower one stays in force.
            let script = r#"ulimit -c 0; ulimit -S -d "$0" 2>/dev/null; exec "$@""#;
            let process = Command::new("/bin/sh")
                .args(["-c", script, &memory.0.to_string()])
                .arg(&self.program.path)
                .args(args)
                .current_dir(self.folder)
                .env_clear()
                .env("PATH", &self.program.search_path)
                .env("HOME", self.folder)
                .env("LC_ALL", "C")
                .env("GIT_DIR", self.folder)
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_ATTR_NOSYSTEM", "1")
                .env("GIT_ALLOW_PROTOCOL", "")
                .env("GIT_NO_LAZY_FETCH", "1")
                .env("GIT_NO_REPLACE_OBJECTS", "1")
                .env("GIT_OPTIONAL_LOCKS", "0")
                .env("GIT_TERMINAL_PROMPT", "0")
                .stdin(if has_input {
                    Stdio::piped()
                } else {
                    Stdio::null()
                })
                .stdout(Stdio::piped())
                .stderr(stderr)
                .spawn()?;
            Ok(GitProcess { process, errors })
        };
        start().map_err(|error| Failure::failed(format!("cannot start git: {error}")))
    }
}

impl GitProcess {
    /// The pipe from it, to be read until `deadline`.
    pub(super) fn take_output(&mut self, deadline: Instant) -> Result<GitOutput, Failure> {
        let output = self.process.stdout.take();
        let pipe = output.ok_or_else(|| Failure::failed("git has no output"))?;
        Ok(GitOutput { pipe, deadline })
    }

    /// The pipe to it.
    pub(super) fn take_input(&mut self) -> Result<ChildStdin, Failure> {
        let input = self.process.stdin.take();
        input.ok_or_else(|| Failure::failed("git has no input"))
    }

    /// Waits for it to end after its output has ended. Fails with the first line of its stderr.
    pub(super) fn end(mut self) -> Result<(), String> {
        let status = self.process.wait();
        let mut stderr = String::new();
        if let Some(Ok(errors)) = self.errors.as_ref().map(File::open) {
            // The beginning of a message is enough.
            drop(errors.take(300).read_to_string(&mut stderr));
        }
        match stderr.lines().next() {
            Some(line) => Err(line.to_owned()),
            None if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            None => Err("it ended early".to_owned()),
        }
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        // Both fail if it has ended, which is fine.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A pipe from a process that may never write.
#[derive(Debug)]
pub(super) struct GitOutput {
    pipe: ChildStdout,
    deadline: Instant,
}

impl Read for GitOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // A process that never stops writing would never time out in `poll`.
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).ok();
        let mut pipes = [PollFd::new(&self.pipe, PollFlags::IN)];
        if poll(&mut pipes, left.as_ref())? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.pipe.read(buffer)
    }
}
