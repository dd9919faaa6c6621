//! The commands over TLS.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::authority::{Authority, replace};
use crate::cli::sandbox::{Ran, Sandbox, Serving};

pub(super) fn flags(authority: &Authority) -> [String; 2] {
    let tls = authority.server();
    [
        format!("--tls-cert={}", tls.certificate.display()),
        format!("--tls-key={}", tls.key.display()),
    ]
}

pub(super) fn wait_for_log(sandbox: &Sandbox, text: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while !sandbox.log().contains(text) {
        assert!(Instant::now() < until, "{text}: {}", sandbox.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn hang_up(server: &Serving) {
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

#[test]
fn commands_speak_https_where_the_server_does() {
    let (sandbox, authority) = (Sandbox::empty(), Authority::new());
    let [cert, key] = flags(&authority);
    let server = sandbox.serve(&[&cert, &key]);
    let url = format!("https://{}", server.address);
    let listen = format!("--listen={}", server.address);
    assert_eq!(
        sandbox.print(&["healthcheck", &listen, &cert, &key]),
        "ready\n"
    );
    assert_eq!(
        sandbox.run(&["healthcheck", &listen]).code,
        13,
        "plain HTTP"
    );
    let mut status = sandbox.command(&["status", "--server", &url]);
    status.env("SSL_CERT_FILE", authority.root());
    let status = Ran::of(status);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.stdout.contains(&url), "{status:?}");
    wait_for_log(&sandbox, "the peer does not speak TLS");
    server.stop();
}

#[test]
fn sighup_reads_the_certificate_again_and_a_bad_one_keeps_the_old() {
    let (sandbox, authority) = (Sandbox::empty(), Authority::new());
    let [cert, key] = flags(&authority);
    let server = sandbox.serve(&[&cert, &key]);
    let listen = format!("--listen={}", server.address);
    let is_ready = || sandbox.run(&["healthcheck", &listen, &cert, &key]).code == 0;
    replace(&authority.path("key.pem"), &authority.issue("other").key);
    hang_up(&server);
    wait_for_log(&sandbox, "is not that of the certificate");
    wait_for_log(&sandbox, "the old one stays in use");
    assert!(is_ready());
    authority.install(&authority.issue("next"));
    hang_up(&server);
    wait_for_log(&sandbox, "the TLS certificate was read again");
    assert!(is_ready());
    server.stop();
}

#[test]
fn files_that_cannot_be_used_are_named_before_the_database_is_made() {
    let (sandbox, authority) = (Sandbox::empty(), Authority::new());
    let [cert, key] = flags(&authority);
    let missing = sandbox.run(&["serve", &cert, "--tls-key=nowhere.pem"]);
    assert!(missing.refused(1).contains("nowhere.pem"));
    let alone = sandbox.run(&["serve", &key]).refused(2);
    assert!(alone.contains("HALLPASS_TLS_CERT"), "{alone}");
    let check = sandbox.run(&["config", "check", &cert, "--tls-key=nowhere.pem"]);
    assert!(check.refused(1).contains("nowhere.pem"));
    assert!(!sandbox.path("hallpass.db").exists());
}
