//! The control socket as other users of the machine see it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::sandbox::{Ran, Sandbox};

const SERVICE_UID: u32 = 10_001;
const OTHER_UID: u32 = 12_345;

/// A folder that belongs to the user `uid`, with a copy of the program that it may run.
fn of(uid: u32) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.give_to(uid);
    sandbox
}

const SERVE: [&str; 2] = ["serve", "--listen=127.0.0.1:0"];

#[test]
#[ignore = "needs root"]
fn root_may_use_another_users_control_socket_and_others_may_not() {
    let sandbox = of(SERVICE_UID);
    let server = sandbox.serve_command(sandbox.command_of(SERVICE_UID, &SERVE));
    let list = ["user", "list"];
    for uid in [0, SERVICE_UID] {
        let ran = Ran::of(sandbox.command_of(uid, &list));
        assert_eq!(ran.code, 0, "{uid}: {ran:?}");
    }
    let events = sandbox.json(&["audit", "list"])["events"].clone();
    for actor in ["local:0", "local:10001"] {
        let is_there = |event: &serde_json::Value| event["actor"] == actor;
        assert!(events.as_array().unwrap().iter().any(is_there), "{actor}");
    }

    let refused = |sandbox: &Sandbox| Ran::of(sandbox.command_of(OTHER_UID, &list)).refused(17);
    let refusal = refused(&sandbox);
    assert!(refusal.contains("Permission denied"), "{refusal}");
    // Even where the socket's mode allows everybody.
    let socket = sandbox.path("hallpass.db.sock");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    refused(&sandbox);
    // Read the log after the shutdown.
    server.stop();
    let log = sandbox.log();
    assert!(
        log.contains("rejected another user's connection") && log.contains("12345"),
        "{log}"
    );
}

#[test]
#[ignore = "needs root"]
fn command_sends_nothing_to_a_socket_of_another_user() {
    let ours = of(SERVICE_UID);
    ours.serve_command(ours.command_of(SERVICE_UID, &SERVE))
        .stop();
    let theirs = of(OTHER_UID);
    let impostor = theirs.serve_command(theirs.command_of(OTHER_UID, &SERVE));
    fs::rename(
        theirs.path("hallpass.db.sock"),
        ours.path("hallpass.db.sock"),
    )
    .unwrap();
    for uid in [0, SERVICE_UID] {
        let ran = Ran::of(ours.command_of(uid, &["user", "list"]));
        // Not even the owner of the database may connect.
        let refusal = ran.refused(17);
        let is_told = refusal.contains("12345") || refusal.contains("Permission denied");
        assert!(is_told, "{refusal}");
    }
    impostor.stop();
    let log = theirs.log();
    assert!(!log.contains("ListUsers"), "{log}");
}

#[test]
fn control_socket_path_may_have_200_bytes() {
    let sandbox = Sandbox::empty();
    let deep = sandbox.path(&"x".repeat(200));
    fs::create_dir(&deep).unwrap();
    let database = format!("--database-url=sqlite:{}/a.db", deep.display());
    let server = sandbox.serve(&[&database]);
    sandbox.print(&["user", "list", &database]);
    let address = format!("--server=unix:{}/a.db.sock", deep.display());
    sandbox.print(&["user", "list", &address]);
    server.stop();
    sandbox.print(&["user", "list", &database]);
    sandbox.run(&["user", "list", &address]).refused(17);
}

#[test]
fn first_given_target_wins() {
    let (one, other) = (Sandbox::set_up(), Sandbox::set_up());
    other.create_person("only-there");
    let database = format!("sqlite:{}", other.path("hallpass.db").display());
    let server = other.serve(&[]);
    let socket = format!("unix:{}", other.path("hallpass.db.sock").display());
    let found = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = one.command(&[&["user", "get", "only-there"], args].concat());
        command.envs(variables.iter().copied());
        Ran::of(command).code == 0
    };
    let nowhere = "unix:/nowhere.db.sock";
    assert!(!found(&[], &[]));
    assert!(found(&[], &[("HALLPASS_SERVER", &socket)]));
    assert!(found(&[], &[("HALLPASS_DATABASE_URL", &database)]));
    assert!(!found(
        &[],
        &[
            ("HALLPASS_SERVER", nowhere),
            ("HALLPASS_DATABASE_URL", &database)
        ]
    ));
    assert!(found(
        &["--database-url", &database],
        &[("HALLPASS_SERVER", nowhere)]
    ));
    assert!(found(
        &["--server", &socket, "--database-url=sqlite:hallpass.db"],
        &[]
    ));
    server.stop();
}

#[test]
fn token_for_a_server_over_http_is_never_an_argument() {
    let sandbox = Sandbox::set_up();
    let server = sandbox.serve(&[]);
    let address = format!("--server=http://{}", server.address);
    let token = sandbox.create_token("admin", &["--expires=1d"]);
    fs::write(sandbox.path("token"), format!("{token}\n")).unwrap();
    let elsewhere = Sandbox::empty();
    let list = ["user", "list"];
    let with = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = elsewhere.command(&[&list[..], &[&*address], args].concat());
        command.envs(variables.iter().copied());
        Ran::of(command)
    };
    let file = sandbox.path("token");
    let file = file.to_str().unwrap();
    let refusal = with(&[], &[]).refused(2);
    assert!(refusal.contains("HALLPASS_TOKEN"), "{refusal}");
    for ran in [
        with(&[], &[("HALLPASS_TOKEN", &token)]),
        with(&[], &[("HALLPASS_TOKEN_FILE", file)]),
        with(&["--token-file", file], &[]),
    ] {
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("admin"), "{ran:?}");
    }
    with(
        &[],
        &[("HALLPASS_TOKEN", &token), ("HALLPASS_TOKEN_FILE", file)],
    )
    .refused(2);
    let wrong = with(&[], &[("HALLPASS_TOKEN", "hallpass_wrong")]).refused(1);
    assert!(
        wrong.contains("invalid") && !wrong.contains("wrong"),
        "{wrong}"
    );
    // A command can do remotely what it can do locally.
    let all = |args: &[&str]| {
        let mut command = elsewhere.command(&[args, &[&*address]].concat());
        command.env("HALLPASS_TOKEN", &token);
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    };
    all(&["machine", "create", "ci-bot", "--owner=admin"]);
    all(&["token", "create", "ci-bot", "--expires=12h"]);
    all(&["token", "list", "--all", "--count"]);
    all(&["audit", "verify"]);
    all(&["data", "check"]);
    server.stop();
    let gone = with(&[], &[("HALLPASS_TOKEN", &token)]).refused(17);
    assert!(gone.contains("cannot reach"), "{gone}");
}
