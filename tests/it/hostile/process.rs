//! The real binary as a process: its signals, its memory, its open files.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(super) struct Process {
    folder: TempDir,
    child: Child,
    pub(super) address: SocketAddr,
    /// The admin's.
    pub(super) token: String,
}

impl Process {
    pub(super) fn start(args: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_hallpass")), args)
    }

    /// With this soft limit of open files.
    pub(super) fn start_with_open_files(soft_limit: u32) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -S -n {soft_limit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_hallpass")]);
        Self::start_by(shell, &[])
    }

    fn start_by(mut command: Command, args: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut child = command
            .args(["serve", "--listen=127.0.0.1:0"])
            .args(args)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("hallpass listening on http://");
        let address = address.expect("it starts").parse().unwrap();
        let token = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .args(["token", "create", "admin"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        Self {
            folder,
            child,
            address,
            token: String::from_utf8(token.stdout).unwrap().trim().to_owned(),
        }
    }

    /// A direct connection to the database.
    pub(super) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("hallpass.db")).unwrap()
    }

    /// The peak of its resident memory in KiB.
    pub(super) fn peak_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; returns the status.
    pub(super) async fn ended(mut self, within: Duration) -> ExitStatus {
        let start = Instant::now();
        while start.elapsed() < within {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still running after {within:?}: {}", self.log());
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
