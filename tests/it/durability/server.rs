//! The real binary as a server on a test's folder.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use hallpass::cli::exit_code::ExitCode;
use rustix::process::{Pid, Signal, kill_process};

/// The first admin's password.
pub(super) const PASSWORD: &str = "a long password of the tests";

/// A server process, killed on drop.
pub(super) struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    log: File,
    pub(super) address: SocketAddr,
    /// The time from its start until it was ready.
    pub(super) started_in: Duration,
}

/// How a server ended that did not start or did not shut down cleanly.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: ExitStatus,
    pub(super) log: String,
}

/// The database in `folder`.
pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("hallpass.db")
}

/// The binary with a subcommand, on the database in `folder`.
pub(super) fn hallpass(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command
        .args(args)
        .args([
            "--database-url",
            &format!("sqlite:{}", database(folder).display()),
        ])
        .stdin(Stdio::null());
    command
}

/// Arguments and environment of a server, with limits so high that these tests do not reach them.
pub(super) fn serve(folder: &Path) -> Command {
    let mut command = hallpass(folder, &["serve", "--listen", "127.0.0.1:0"]);
    command
        .args(["--max-tokens-per-user", "1000000"])
        .env("HALLPASS_ADMIN_PASSWORD", PASSWORD)
        .current_dir("/");
    command
}

/// Asserts that it ended with `code` and did not panic.
pub(super) fn expect(refused: &Refused, code: ExitCode) {
    let number = i32::from(code.number());
    assert_eq!(refused.status.code(), Some(number), "{}", refused.log);
    assert!(!refused.log.contains("panicked"), "{}", refused.log);
}

impl Server {
    pub(super) fn start(folder: &Path) -> Self {
        Self::spawn(serve(folder)).expect("it serves")
    }

    /// Starts `command` and waits until it is ready or has ended.
    pub(super) fn spawn(mut command: Command) -> Result<Self, Refused> {
        let log = tempfile::tempfile().unwrap();
        command
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let started_in = begun.elapsed();
        let Some(address) = line.trim().strip_prefix("hallpass listening on http://") else {
            let status = child.wait().unwrap();
            return Err(Refused {
                status,
                log: text(&log),
            });
        };
        Ok(Self {
            address: address.parse().unwrap(),
            child,
            _stdout: stdout,
            log,
            started_in,
        })
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// kill -9 without waiting for the end.
    pub(super) fn signal_kill(&self) {
        self.signal(Signal::KILL);
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM and a clean shutdown.
    pub(super) fn stop(self) {
        expect(&self.terminated(), ExitCode::Ok);
    }

    /// SIGTERM and any end.
    pub(super) fn terminated(self) -> Refused {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits until it ends by itself.
    pub(super) fn ended(mut self) -> Refused {
        let status = self.child.wait().unwrap();
        let log = self.log();
        Refused { status, log }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(super) fn log(&self) -> String {
        text(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads without moving the file position, which the writing process shares.
fn text(log: &File) -> String {
    let length = usize::try_from(log.metadata().unwrap().len()).unwrap();
    let mut text = vec![0; length];
    log.read_exact_at(&mut text, 0).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}
