//! Several addresses, Unix sockets for strangers, and what systemd gives and is told.

use std::{
    io::BufRead as _,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    process::{Command, Stdio},
    time::Duration,
};

use hallpass::server::ListenAddress;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    cli::sandbox::{Sandbox, Serving, call},
    client::{Call, UnixClient, Wire},
    test_app::TestApp,
};

fn next_line(server: &mut Serving) -> String {
    let mut line = String::new();
    server.stdout.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn each_address_is_listened_on_and_printed() {
    let sandbox = Sandbox::empty();
    let mut server = sandbox.serve(&["--listen=127.0.0.1:0,unix:public.sock"]);
    let second = next_line(&mut server);
    let second = second
        .strip_prefix("hallpass listening on http://")
        .unwrap();
    let (status, _) = call(second, "AuthnService/GetCurrentUser", "x", &json!({})).unwrap();
    assert_eq!(status, 401);
    assert_eq!(
        next_line(&mut server),
        "hallpass listening on unix:public.sock"
    );
    let healthcheck = ["healthcheck", "--listen=unix:public.sock"];
    assert_eq!(sandbox.print(&healthcheck), "ready\n");
    server.stop();
    assert!(!sandbox.path("public.sock").exists());
}

#[tokio::test]
async fn peer_of_a_unix_socket_is_a_stranger_on_loopback() {
    let folder = TempDir::new().unwrap();
    let (public, control) = (folder.path().join("public"), folder.path().join("control"));
    let app = TestApp::start_with(|settings| {
        let path = ListenAddress::Unix(public.clone());
        settings.server.listen.push(path);
        settings.server.control_socket = Some(control.clone());
    })
    .await;
    let list = || Call::new("UserService/ListUsers", json!({}));
    let public = UnixClient(public);
    let refused = public.call(Wire::CURL, list()).await;
    assert_eq!(refused.result.unwrap_err().code, "unauthenticated");
    let accepted = public
        .call(Wire::CURL, list().bearer(&app.admin.token))
        .await;
    accepted.result.unwrap();
    // The control socket asks the kernel instead.
    let local = UnixClient(control).call(Wire::CURL, list()).await;
    local.result.unwrap();
    let made = Call::new("TokenService/CreateToken", json!({})).bearer(&app.admin.token);
    public.call(Wire::CURL, made).await.result.unwrap();
    let ip: String = app
        .sql()
        .query_one(
            "SELECT ip FROM audit ORDER BY sequence DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(ip, "127.0.0.1");
}

#[test]
fn clients_without_certificates_cannot_come_by_a_unix_socket() {
    let (sandbox, authority) = (Sandbox::empty(), crate::tls::Authority::new());
    let tls = authority.server();
    let refused = sandbox.run(&[
        "serve",
        "--listen=unix:public.sock",
        &format!("--tls-cert={}", tls.certificate.display()),
        &format!("--tls-key={}", tls.key.display()),
        &format!("--tls-client-ca={}", authority.root().display()),
    ]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("--tls-client-ca asks every client"),
        "{refused:?}"
    );
}

/// A server that systemd has started with one socket.
fn activated(sandbox: &Sandbox, socket: OwnedFd) -> Command {
    let script = "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" serve --listen systemd";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_hallpass")])
        .current_dir(sandbox.path(""))
        .env_clear()
        .stdin(Stdio::from(socket));
    command
}

#[test]
fn sockets_that_systemd_passes_are_served() {
    let sandbox = Sandbox::empty();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let server = sandbox.serve_command(activated(&sandbox, socket.into()));
    assert_eq!(server.address, address);
    assert!(!server.accepts("x"));
    server.stop();
    let none = sandbox.run(&["serve", "--listen=systemd"]);
    assert!(none.stderr.contains("LISTEN_FDS"), "{none:?}");
}

#[test]
fn unix_socket_that_systemd_passes_is_served_and_left() {
    let sandbox = Sandbox::empty();
    let path = sandbox.path("public.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut command = activated(&sandbox, socket.into());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        format!("hallpass listening on unix:{}\n", path.display())
    );
    let healthcheck = ["healthcheck", "--listen=unix:public.sock"];
    assert_eq!(sandbox.print(&healthcheck), "ready\n");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(path.exists(), "it is systemd's");
}

#[test]
fn systemd_is_told_that_the_server_is_ready_alive_and_stopping() {
    let sandbox = Sandbox::empty();
    let path = sandbox.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut message = [0; 64];
    let mut next = || {
        let read = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..read])
            .trim_end()
            .to_owned()
    };
    let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000");
    let server = sandbox.serve_command(command);
    // A migration of a large database takes longer than systemd waits by default.
    assert_eq!(next(), "EXTEND_TIMEOUT_USEC=60000000");
    assert_eq!(next(), "READY=1");
    for _ in 0..3 {
        assert_eq!(next(), "WATCHDOG=1");
    }
    server.stop();
    let mut last = next();
    while last == "WATCHDOG=1" {
        last = next();
    }
    assert_eq!(last, "STOPPING=1");
}
