//! `hallpass audit`.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::sandbox::Sandbox;

#[test]
fn commands_are_recorded_in_the_audit_log() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let events = sandbox.json(&["audit", "list"])["events"].clone();
    let events = events.as_array().unwrap();
    let uid = rustix::process::getuid().as_raw();
    let alice = &sandbox.json(&["user", "get", "alice"])["user"]["id"];
    let made = events
        .iter()
        .find(|event| &event["target"] == alice)
        .unwrap();
    assert_eq!(made["action"], "user.create");
    assert_eq!(made["actor"], format!("local:{uid}"));
    assert_eq!(made["outcome"], "ok");
    assert_eq!(made["sequence"], "2");

    let newest = sandbox.json(&["audit", "list", "--reverse", "--limit=1"]);
    let newest = newest["events"].as_array().unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0]["action"], "audit.list");
}

#[test]
fn edited_audit_row_exits_with_11_and_is_reported() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let intact = sandbox.json(&["audit", "verify"]);
    // The verification itself is the third row.
    assert_eq!(intact["rows"], "3");
    assert_eq!(intact["breaks"].as_array().unwrap().len(), 0);

    sandbox.tamper("UPDATE audit SET actor = 'someone else' WHERE sequence = 2");
    let ran = sandbox.run(&["audit", "verify"]);
    assert_eq!(ran.code, 11, "{ran:?}");
    assert!(ran.stdout.starts_with("row 2: "), "{ran:?}");
    assert!(ran.stderr.contains("row 2"), "{ran:?}");
}

#[test]
fn truncated_log_is_detected_with_a_noted_head() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let noted = sandbox.json(&["audit", "verify"])["head"].clone();
    let head = format!("--head={}", noted.as_str().unwrap());
    sandbox.print(&["audit", "verify", &head]);

    sandbox.tamper("DELETE FROM audit WHERE sequence >= 3");
    sandbox.print(&["audit", "verify"]);
    assert_eq!(sandbox.run(&["audit", "verify", &head]).code, 11);
    sandbox.run(&["audit", "verify", "--head=2"]).refused(2);
}

#[test]
fn row_before_the_first_exits_with_11_and_is_described() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.tamper(
        "CREATE TEMP TABLE planted AS SELECT * FROM audit WHERE sequence = 2;
         UPDATE planted SET sequence = 1000;
         INSERT INTO audit SELECT * FROM planted;
         UPDATE audit SET sequence = 0 WHERE sequence = 1000",
    );
    let ran = sandbox.run(&["audit", "verify"]);
    assert_eq!(ran.code, 11, "{ran:?}");
    let told = "row 0: numbered below 1, where the log begins: planted\n";
    assert!(ran.stdout.starts_with(told), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 2, "the rest is intact: {ran:?}");
    let listed = sandbox.json(&["audit", "list"])["events"].clone();
    assert_eq!(listed[0]["sequence"], "1");
}

/// The head is logged at the start and then every hour.
#[test]
fn logged_head_can_be_used_to_verify() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let server = sandbox.serve(&[]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let head = loop {
        let log = sandbox.log();
        let mut heads = log
            .lines()
            .filter_map(|line| line.split_once("audit.head="));
        // The server that set up the sandbox logged an earlier head.
        if let Some((_, head)) = heads.find(|(_, head)| !head.starts_with("1:")) {
            break head.split_whitespace().next().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "no head in the log: {log}");
        thread::yield_now();
    };
    server.stop();
    let head = format!("--head={head}");
    sandbox.print(&["audit", "verify", &head]);
    sandbox.tamper("DELETE FROM audit WHERE sequence >= 2");
    assert_eq!(sandbox.run(&["audit", "verify", &head]).code, 11);
}

#[test]
fn audit_search_takes_names_and_times_and_explains_typos() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let plaintext = sandbox.create_token("alice", &[]);
    let id = plaintext.split('_').nth(1).unwrap();
    let actions = |args: &[&str]| -> Vec<String> {
        let listed = sandbox.json(&[&["audit", "list"], args].concat());
        let events = listed["events"].as_array().unwrap().iter();
        events
            .map(|event| event["action"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        actions(&["--target=alice", "--action=user.create"]),
        ["user.create"]
    );
    assert_eq!(actions(&["--action=token"]), ["token.create"]);
    // By the ID, and by a pasted plaintext.
    for target in [id, &plaintext, &format!("Bearer {plaintext}")] {
        assert_eq!(
            actions(&["--target", target, "--actor=local"]),
            ["token.create"]
        );
    }
    assert!(actions(&["--actor=admin"]).is_empty());
    assert!(actions(&["--until=1d"]).is_empty());
    let (all, recent) = (
        actions(&["--limit=3"]),
        actions(&["--since=1d", "--limit=3"]),
    );
    assert_eq!(all, recent);
    let table = sandbox.print(&["audit", "list", "--target=alice", "--since=2020-01-01"]);
    assert!(table.contains("user.create"), "{table}");

    let told = sandbox.run(&["audit", "list", "--actor=alic"]).refused(1);
    assert_eq!(told, "--actor: there is no user alic");
    let told = sandbox
        .run(&["audit", "list", "--action=token.crate"])
        .refused(2);
    assert!(told.contains("Did you mean token.create?"), "{told}");
    let told = sandbox.run(&["audit", "list", "--action=xyz"]).refused(2);
    assert!(told.contains("user.create"), "{told}");
    for (args, word) in [
        (&["--since=yesterday"][..], "--since"),
        // An empty shell variable must not list everything.
        (&["--actor="], "--actor"),
        (&["--target", ""], "--target"),
        (&["--since=1d", "--until=2d"], "--until"),
    ] {
        let told = sandbox.run(&[&["audit", "list"], args].concat()).refused(2);
        assert!(told.contains(word), "{told}");
    }
}
