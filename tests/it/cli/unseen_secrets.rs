//! A secret that could not be printed: the change is undone, or the error says what could not be undone.

use std::{fs::File, process::Stdio};

use serde_json::{Value, json};

use super::sandbox::Sandbox;

/// Runs a command whose output cannot be written; returns its line on stderr.
fn run_into_a_full_disk(sandbox: &Sandbox, args: &[&str]) -> String {
    let mut command = sandbox.command(args);
    command.stdout(Stdio::from(
        File::options().write(true).open("/dev/full").unwrap(),
    ));
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn tokens(sandbox: &Sandbox) -> Value {
    sandbox.json(&["token", "list", "ci-bot"])["tokens"].clone()
}

#[test]
fn token_that_could_not_be_printed_is_deleted() {
    let sandbox = Sandbox::with_machine();
    let check = || {
        for args in [
            &["token", "create", "ci-bot"][..],
            &["token", "create", "ci-bot", "--json"],
        ] {
            let told = run_into_a_full_disk(&sandbox, args);
            assert!(told.contains("was deleted again"), "{told}");
            assert_eq!(tokens(&sandbox), json!([]));
        }
    };
    check();
    let server = sandbox.serve(&[]);
    check();
    server.stop();
}

#[test]
fn rotation_that_could_not_be_printed_is_undone() {
    let sandbox = Sandbox::with_machine();
    let text = sandbox.create_token("ci-bot", &["--expires=90d"]);
    let before = tokens(&sandbox);
    let id = before[0]["id"].as_str().unwrap();
    let rotate = || {
        for args in [
            &["token", "rotate", id][..],
            &["token", "rotate", id, "--grace=1h", "--json"],
        ] {
            let told = run_into_a_full_disk(&sandbox, args);
            assert!(told.contains("is as it was before"), "{told}");
            assert_eq!(tokens(&sandbox), before);
        }
    };
    rotate();
    let server = sandbox.serve(&[]);
    rotate();
    assert!(server.accepts(&text));

    // The control: a printed rotation stays.
    let new = sandbox.print(&["token", "rotate", id]);
    assert!(server.accepts(new.trim()) && !server.accepts(&text));
    server.stop();
}

#[test]
fn failed_undo_is_reported() {
    let sandbox = Sandbox::with_machine();
    // A database in which no token can be revoked.
    sandbox.tamper(
        "CREATE TRIGGER no_end BEFORE UPDATE OF delete_time ON tokens BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let told = run_into_a_full_disk(&sandbox, &["token", "create", "ci-bot"]);
    assert!(told.contains("could not be deleted again"), "{told}");
    let left = tokens(&sandbox);
    let id = left[0]["id"].as_str().unwrap();
    assert!(
        told.contains(&format!("hallpass token delete {id}")),
        "{told}"
    );
}
