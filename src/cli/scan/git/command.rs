//! Running `git`, on a repository of our own, with an environment of our own, and no more memory and time
//! than it was given: what it reads may have been made to take all there is.

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

/// The program, at a repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct Git<'a> {
    pub(super) program: &'a Program,
    /// Of our own.
    pub(super) folder: &'a Path,
    pub(super) deadline: Instant,
}

/// Where `git` is.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    search_path: std::ffi::OsString,
}

impl Program {
    /// The first on the PATH, of whose folders only those count that do not depend on where this runs: that
    /// may be the repository.
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

/// How much memory a process may have, in KiB: as much as `ulimit` counts as data, which the files that it maps
/// are not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory(pub(super) u32);

/// A run of it, whose end is waited for: where the search breaks off, it is ended.
#[derive(Debug)]
pub(super) struct Running {
    process: Child,
    /// Where it writes what it has to say.
    errors: Option<PathBuf>,
}

impl Git<'_> {
    /// Starts it with a pipe from it. One that is `asked` has a pipe to it too, and answers there what it cannot
    /// do; what another has to say is kept for its end.
    pub(super) fn start(
        self,
        args: &[&str],
        memory: Memory,
        asked: bool,
    ) -> Result<Running, Failure> {
        let start = || -> io::Result<Running> {
            let errors = (!asked).then(|| self.folder.join("errors"));
            let stderr = match &errors {
                Some(errors) => File::create(errors)?.into(),
                None => Stdio::null(),
            };
            // The limits are the shell's to set; those that are lower already stay.
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
                .stdin(if asked { Stdio::piped() } else { Stdio::null() })
                .stdout(Stdio::piped())
                .stderr(stderr)
                .spawn()?;
            Ok(Running { process, errors })
        };
        start().map_err(|error| Failure::failed(format!("cannot start git: {error}")))
    }
}

impl Running {
    /// The pipe from it, until `deadline`.
    pub(super) fn take_output(&mut self, deadline: Instant) -> Result<Output, Failure> {
        let output = self.process.stdout.take();
        let pipe = output.ok_or_else(|| Failure::failed("git has no output"))?;
        Ok(Output { pipe, deadline })
    }

    /// The pipe to it.
    pub(super) fn take_input(&mut self) -> Result<ChildStdin, Failure> {
        let input = self.process.stdin.take();
        input.ok_or_else(|| Failure::failed("git has no input"))
    }

    /// Waits for its end, which the end of its output announced. Whether it did all that it was told to; if not,
    /// the first of what it had to say.
    pub(super) fn end(mut self) -> Result<(), String> {
        let status = self.process.wait();
        let mut said = String::new();
        if let Some(Ok(errors)) = self.errors.as_ref().map(File::open) {
            // A message without its end says enough.
            drop(errors.take(300).read_to_string(&mut said));
        }
        match said.lines().next() {
            Some(line) => Err(line.to_owned()),
            None if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            None => Err("it ended too early".to_owned()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended, which is well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A pipe from a process that may never answer.
#[derive(Debug)]
pub(super) struct Output {
    pipe: ChildStdout,
    deadline: Instant,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // One that never stops to answer would never be waited for.
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
