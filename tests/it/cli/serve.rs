//! `hallpass serve`, `hallpass healthcheck` and the first start; which signals end the process, who may inspect it, and
//! what it warns about.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt as _},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::sandbox::{PASSWORD, Ran, Sandbox, Serving};
use crate::client::{Call, Client, Reply, Wire};

const PASSWORD_FILE: &str = "initial-admin-password";
const TIMEOUT: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;

#[test]
fn first_start_writes_a_password_file_that_is_deleted_when_the_password_changes() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[]);
    let file = sandbox.path(PASSWORD_FILE);
    let password = fs::read_to_string(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let log = sandbox.log();
    assert!(log.contains(file.to_str().unwrap()), "{log}");
    assert!(!log.contains(password.trim()), "{log}");

    let set = ["user", "set-password", "admin", "--password-stdin"];
    let ran = sandbox.run_with(&set, PASSWORD);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!file.exists());
    server.stop();
}

#[test]
fn given_admin_password_is_used_once_and_later_starts_warn_that_it_is_ignored() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.path("secret"), format!("{PASSWORD}\n")).unwrap();
    let with_file = || {
        let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0"]);
        command.env("HALLPASS_ADMIN_PASSWORD_FILE", "secret");
        command
    };
    sandbox.serve_command(with_file()).stop();
    assert!(!sandbox.path(PASSWORD_FILE).exists());
    assert!(!sandbox.log().contains("is ignored"));

    // A later start does not need the secret.
    fs::remove_file(sandbox.path("secret")).unwrap();
    sandbox.serve_command(with_file()).stop();
    let log = sandbox.log();
    assert!(log.contains("HALLPASS_ADMIN_PASSWORD is ignored"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn first_start_without_the_named_password_creates_no_user() {
    let sandbox = Sandbox::empty();
    let with = |name: &str, value: &str| {
        let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0", "--log-level=error"]);
        command.env(name, value);
        Ran::of(command)
    };
    let refusal = with("HALLPASS_ADMIN_PASSWORD_FILE", "not-there").refused(1);
    assert!(refusal.contains("not-there"), "{refusal}");
    let refusal = with("HALLPASS_ADMIN_PASSWORD", "short").refused(1);
    assert!(!refusal.contains("short"), "{refusal}");
    assert!(
        sandbox.json(&["user", "list"])["users"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn both_signals_shut_down_cleanly_and_stdout_has_one_line() {
    let sandbox = Sandbox::empty();
    for signal in [Signal::TERM, Signal::INT] {
        let (status, rest) = sandbox.serve(&[]).end(signal);
        assert_eq!(status.code(), Some(0));
        assert_eq!(rest, "");
    }
}

#[test]
fn address_in_use_is_named_in_the_failure() {
    let sandbox = Sandbox::empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let refusal = sandbox
        .run(&["serve", &listen, "--log-level=error"])
        .refused(1);
    assert!(refusal.contains("--listen"), "{refusal}");
}

#[test]
fn json_logs_are_one_object_per_line() {
    let sandbox = Sandbox::empty();
    sandbox.serve(&["--log-format=json"]).stop();
    let log = sandbox.log();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(
            record["level"].is_string() && record["message"].is_string(),
            "{line}"
        );
    }
}

/// Everything logged about a request has the ID that its client received.
#[tokio::test]
async fn each_request_leaves_one_line_and_its_errors_have_the_same_id() {
    for format in ["json", "text"] {
        let sandbox = Sandbox::empty();
        let server = sandbox.serve(&["--log-format", format]);
        let client = Client::new(server.address.parse().unwrap());
        let list = || {
            let list = Call::new("UserService/ListUsers", json!({})).header("x-request-id", "ci-7");
            client.call(Wire::CURL, list.bearer("hp_none"))
        };
        let refused: Reply = list().await;
        // A corrupt row.
        sandbox.tamper("PRAGMA ignore_check_constraints = ON; UPDATE users SET role = 'king'");
        let sign_in = json!({ "username": "admin", "password": PASSWORD });
        let failed = Call::new("TokenService/CreateToken", sign_in);
        let failed = client.call(Wire::CURL, failed).await;
        failed.clone().refused("unavailable", "STORE_UNAVAILABLE");
        server.stop();

        let log = sandbox.log();
        let of = |answer: &Reply| -> Vec<String> {
            let id = answer.request_id();
            let lines = log.lines().filter(|line| line.contains(&id));
            lines.map(str::to_owned).collect()
        };
        let (refused, failed) = (of(&refused), of(&failed));
        assert_eq!((refused.len(), failed.len()), (1, 2), "{log}");
        if format == "text" {
            let (_, request) = refused[0].split_once("  INFO ").unwrap();
            let begin = "hallpass::server::access_log: request method=POST \
                         path=/hallpass.v1.UserService/ListUsers status=401 code=unauthenticated \
                         protocol=connect duration_us=";
            assert!(request.starts_with(begin), "{request}");
            let rest = request.split_once(" credential=").unwrap().1;
            let expected =
                "token reason=CREDENTIALS_INVALID ip=127.0.0.1 client_request_id=ci-7 request.id=";
            assert!(rest.starts_with(expected), "{rest}");
        } else {
            let request: Value = serde_json::from_str(&refused[0]).unwrap();
            assert_eq!(request["message"], "request");
            assert_eq!(request["status"], 401);
            assert_eq!(request["client_request_id"], "ci-7");
            assert!(request["duration_us"].is_u64() && request["request.id"].is_string());
        }
        assert!(failed[0].contains("the store is not available"), "{log}");
    }
}

#[test]
fn healthcheck_distinguishes_a_ready_server_from_a_missing_one() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[]);
    let listen = format!("--listen={}", server.address);
    assert_eq!(sandbox.print(&["healthcheck", &listen]), "ready\n");
    assert_eq!(sandbox.print(&["healthcheck", "--live", &listen]), "live\n");
    server.stop();
    let refusal = sandbox.run(&["healthcheck", &listen]).refused(13);
    assert!(refusal.contains("/readyz"), "{refusal}");
    sandbox
        .run(&["healthcheck", "--listen=127.0.0.1:0"])
        .refused(2);
}

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
