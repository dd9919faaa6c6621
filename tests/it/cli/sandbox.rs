//! A temporary folder in which tests run the real binary as a command and as a server.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A password that the policy accepts.
pub(crate) const PASSWORD: &str = "wander maple kettle drum";

/// A working directory for commands.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn empty() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// Like [`set_up`](Self::set_up), with a machine `ci-bot` of `admin`.
    pub(crate) fn with_machine() -> Self {
        let sandbox = Self::set_up();
        sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
        sandbox
    }

    /// With a database whose server has stopped, and its one user `admin`.
    pub(crate) fn set_up() -> Self {
        let sandbox = Self::empty();
        sandbox.serve(&[]).stop();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in this folder, with only the environment that the test gives it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    /// Gives the folder to the user `uid`, with a copy of the program, whose own folder may be unreadable for others.
    pub(crate) fn give_to(&self, uid: u32) {
        // Copied by another process: a child that another test has just forked could inherit this process's open
        // file, and a file that is open for writing cannot be executed.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_hallpass"))
            .arg(self.path("hallpass"))
            .status();
        assert!(copied.unwrap().success());
        fs::set_permissions(self.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        chown(self.path(""), Some(uid), Some(uid)).unwrap();
    }

    /// A command of the user `uid` in this folder, which [`give_to`](Self::give_to) has prepared.
    pub(crate) fn command_of(&self, uid: u32, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("hallpass"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .uid(uid)
            .gid(uid);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args))
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its stdin may end before this is written.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        Ran::from(child.wait_with_output().unwrap())
    }

    /// Runs a command that must succeed and returns its stdout.
    pub(crate) fn print(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    /// The same with `--json`, parsed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        serde_json::from_str(&self.print(&args)).unwrap()
    }

    /// Creates a person with [`PASSWORD`].
    pub(crate) fn create_person(&self, name: &str) {
        let ran = self.run_with(&["user", "create", name, "--password-stdin"], PASSWORD);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Creates a token of a user with `args` and returns its plaintext.
    pub(crate) fn create_token(&self, user: &str, args: &[&str]) -> String {
        let printed = self.print(&[&["token", "create", user], args].concat());
        printed.strip_suffix('\n').unwrap().to_owned()
    }

    pub(crate) fn serve(&self, args: &[&str]) -> Serving {
        self.serve_command(self.command(&[&["serve", "--listen=127.0.0.1:0"], args].concat()))
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn serve_command(&self, command: Command) -> Serving {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("serve.log"))
            .unwrap();
        self.serve_to(command, log)
    }

    /// The same, with its log to `stderr`.
    pub(crate) fn serve_to(&self, mut command: Command, stderr: impl Into<Stdio>) -> Serving {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("hallpass listening on http")
            .and_then(|url| url.strip_prefix('s').unwrap_or(url).strip_prefix("://"))
            .and_then(|address| address.strip_suffix('\n'))
            .unwrap_or_else(|| panic!("{line:?}, {:?}", fs::read(self.path("serve.log"))))
            .to_owned();
        Serving {
            child,
            address,
            stdout,
        }
    }

    /// What this folder's servers logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("serve.log")).unwrap()
    }

    /// Changes the database directly.
    pub(crate) fn tamper(&self, sql: &str) {
        let database = rusqlite::Connection::open(self.path("hallpass.db")).unwrap();
        database.execute_batch(sql).unwrap();
    }

    /// Adds `copies` copies of each token without a note, with their own IDs and times.
    pub(super) fn multiply_tokens(&self, count: usize) {
        self.tamper(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO tokens (id, user_id, hash, note, create_time, expire_time, scopes, allowed_cidrs,
                 disabled, parent_id, family_id, delete_time)
             SELECT substr(id, 1, 18) || printf('%04d', i), user_id, hash, note, create_time + i, expire_time,
                 scopes, allowed_cidrs, disabled, parent_id, family_id, delete_time
             FROM n, tokens WHERE note = ''"
        ));
    }
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        Self::from(command.output().unwrap())
    }

    pub(crate) fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts a failure with this code, nothing on stdout and one line on stderr, whose text is returned. A hint may
    /// follow on another line. A usage error may have more lines, the last of which names the
    /// command's help.
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "");
        let (before, line) = self.stderr.split_once("hallpass: ").unwrap();
        // Destructive commands name their target first, and a secret in an argument causes a warning.
        let is_warning =
            |line: &str| line.starts_with("on sqlite:") || line.contains("in an argument");
        assert!(before.lines().all(is_warning), "{before}");
        let line = line.strip_suffix('\n').unwrap();
        if code == 2 {
            let (_, last) = line.rsplit_once('\n').unwrap();
            let names_the_help = last.starts_with("See `hallpass") && last.ends_with(" --help`.");
            assert!(names_the_help, "{line}");
        } else {
            assert!(line.lines().count() <= 2, "{line}");
        }
        line.to_owned()
    }
}

/// A running server, killed on drop.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: String,
    pub(crate) stdout: BufReader<std::process::ChildStdout>,
}

impl Serving {
    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end: returns the status and what else was printed on stdout.
    pub(crate) fn end(mut self, signal: Signal) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end within this time; returns the status.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        ended(&mut self.child, within)
    }

    pub(crate) fn stop(self) {
        let (status, _) = self.end(Signal::TERM);
        assert_eq!(status.code(), Some(0));
    }

    /// Calls a procedure over Connect JSON with `token`: the status and the reply.
    pub(crate) fn call(&self, procedure: &str, token: &str, message: &Value) -> (u16, Value) {
        call(&self.address, procedure, token, message).unwrap()
    }

    /// Whether `token` authenticates.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        let (status, _) = self.call("AuthnService/GetCurrentUser", token, &serde_json::json!({}));
        assert!(matches!(status, 200 | 401), "{status}");
        status == 200
    }
}

/// Waits for a process to end within this time, or kills it and fails.
pub(crate) fn ended(child: &mut Child, within: Duration) -> ExitStatus {
    let start = Instant::now();
    while start.elapsed() < within {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(Duration::from_millis(10));
    }
    drop(child.kill());
    panic!("still running after {within:?}");
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Calls a procedure of the server at `address`; `None`: the server went away before it replied.
pub(crate) fn call(
    address: &str,
    procedure: &str,
    token: &str,
    message: &Value,
) -> Option<(u16, Value)> {
    let body = message.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /hallpass.v1.{procedure} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    // A killed process closes its connections with a reset or an end.
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some((status, serde_json::from_str(body).unwrap()))
}
