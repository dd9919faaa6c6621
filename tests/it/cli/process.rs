//! The process: which signals end it, who may inspect it, what it warns about.

use std::{
    os::unix::process::CommandExt as _,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::sandbox::{PASSWORD, Sandbox, Serving};

const TIMEOUT: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(server: &Serving) -> bool {
    let (status, _) = server.call("AuthnService/GetCurrentUser", "x", &serde_json::json!({}));
    status == 401
}

#[test]
fn unrelated_signals_do_not_stop_the_server_and_are_logged() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[]);
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    for (signal, name) in [
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
    ] {
        kill_process(pid, signal).unwrap();
        let told = format!("{name} is ignored");
        wait_for(&told, || sandbox.log().contains(&told));
        assert!(is_alive(&server), "{name}");
    }
    kill_process(pid, Signal::PIPE).unwrap();
    assert!(is_alive(&server));
    server.stop();
}

/// Run by a process of the same user without the right to trace, like another process in the same container. Only
/// root can set this up.
fn as_nobody(sandbox: &Sandbox, args: &[&str]) -> std::process::Command {
    if rustix::process::geteuid().is_root() {
        sandbox.command_of(NOBODY, args)
    } else {
        sandbox.command(args)
    }
}

#[test]
fn other_processes_of_the_user_cannot_read_environment_or_memory() {
    let sandbox = Sandbox::empty();
    if rustix::process::geteuid().is_root() {
        sandbox.give_to(NOBODY);
    }
    let mut command = as_nobody(&sandbox, &["serve", "--listen=127.0.0.1:0"]);
    command.env("HALLPASS_ADMIN_PASSWORD", PASSWORD);
    let server = sandbox.serve_command(command);
    let look = |pid: u32, file: &str| {
        let mut look = std::process::Command::new("cat");
        look.arg(format!("/proc/{pid}/{file}"));
        if rustix::process::geteuid().is_root() {
            look.uid(NOBODY).gid(NOBODY);
        }
        look.stderr(Stdio::null()).output().unwrap()
    };
    for file in ["environ", "maps"] {
        let seen = look(server.id(), file);
        assert!(!seen.status.success() && seen.stdout.is_empty(), "{file}");
    }
    let limits = String::from_utf8(look(server.id(), "limits").stdout).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"]);
    server.stop();

    // A command that holds a token, too. It waits for a second line of stdin.
    let mut command = as_nobody(&sandbox, &["token", "revoke", "--yes", "-"]);
    let mut child = command
        .env("HALLPASS_TOKEN", "a-token")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the command hides", || {
        !look(child.id(), "environ").status.success()
    });
    child.kill().unwrap();
    child.wait().unwrap();

    // The control: an ordinary process is readable.
    let mut sleeper = std::process::Command::new("cat");
    if rustix::process::geteuid().is_root() {
        sleeper.uid(NOBODY).gid(NOBODY);
    }
    let mut sleeper = sleeper
        .env("HALLPASS_TOKEN", "a-token")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the control is seen", || {
        let seen = look(sleeper.id(), "environ").stdout;
        String::from_utf8_lossy(&seen).contains("a-token")
    });
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn plain_http_beyond_loopback_warns_unless_a_proxy_is_trusted() {
    for (args, is_warned) in [
        (&["--listen=0.0.0.0:0"][..], true),
        (&["--listen=[::]:0"], true),
        (&["--listen=127.0.0.1:0"], false),
        (&["--listen=[::ffff:127.0.0.1]:0"], false),
        (&["--listen=0.0.0.0:0", "--trusted-proxy=10.0.0.0/8"], false),
    ] {
        let sandbox = Sandbox::empty();
        let mut command = sandbox.command(&["serve", "--log-level=warn"]);
        command.args(args);
        sandbox.serve_command(command).stop();
        let log = sandbox.log();
        let warnings = log.lines().filter(|line| line.contains("without TLS"));
        assert_eq!(warnings.count(), usize::from(is_warned), "{args:?}: {log}");
        assert_eq!(log.contains("--trusted-proxy"), is_warned, "{log}");
    }
}
