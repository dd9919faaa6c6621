//! `hallpass audit`, and the one row that each command leaves in the audit log, however many calls it makes.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::sandbox::{PASSWORD, Sandbox};
use crate::test_app::id_of;

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
    let id = id_of(&plaintext);
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

/// The actions and counts recorded after the row `after`, and the number of the last row. Reading the log leaves a
/// row, too, which is left out.
fn recorded(sandbox: &Sandbox, after: u64) -> (Vec<(String, u64)>, u64) {
    let list = sandbox.json(&["audit", "list"]);
    let number = |event: &Value| event["sequence"].as_str().unwrap().parse().unwrap();
    let text = |event: &Value| event["action"].as_str().unwrap().to_owned();
    let events: Vec<_> = list["events"].as_array().unwrap().iter().collect();
    let last = events.last().map_or(0, |event| number(event));
    let rows = events.into_iter().filter(|event| number(event) > after);
    let rows = rows.map(|event| (text(event), event["count"].as_u64().unwrap()));
    let rows = rows.filter(|(action, _)| action != "audit.list");
    (rows.collect(), last)
}

#[test]
fn each_command_leaves_one_audit_row() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let [first, second, third, leaked] = [(); 4].map(|()| sandbox.create_token("ci-bot", &[]));
    std::fs::write(sandbox.path("leak"), &leaked).unwrap();
    let (first, second, third) = (id_of(&first), id_of(&second), id_of(&third));
    let (_, mut last) = recorded(&sandbox, 0);
    let password = ["user", "set-password", "alice", "--password-stdin"];
    let create = ["user", "create", "bob", "--password-stdin"];
    #[rustfmt::skip]
    let commands: &[(&[&str], &[&str])] = &[
        (&create, &["user.create"]),
        (&["machine", "create", "other", "--owner=alice"], &["user.create"]),
        (&["machine", "set-owner", "other", "bob"], &["user.set_owner"]),
        (&["user", "set-role", "alice", "admin"], &["user.set_role"]),
        (&password, &["user.set_password"]),
        (&["user", "deactivate", "alice", "--yes"], &["user.deactivate"]),
        (&["user", "reactivate", "alice"], &["user.reactivate"]),
        (&["user", "delete", "alice", "--yes"], &["user.delete"]),
        (&["token", "create", "ci-bot"], &["token.create"]),
        (&["token", "update", first, "--note=nightly"], &["token.describe"]),
        (&["token", "disable", first], &["token.disable"]),
        (&["token", "enable", first], &["token.enable"]),
        (&["token", "rotate", first, "--grace=1h"], &["token.rotate"]),
        (&["token", "rotate", second], &["token.rotate"]),
        (&["token", "delete", third], &["token.delete"]),
        // A repeat changes nothing and leaves no row.
        (&["token", "delete", third], &[]),
        (&["token", "revoke", first, "--yes"], &["token.revoke"]),
        (&["scan", "leak", "--revoke", "--yes"], &["token.revoke_leaked"]),
        // A read is recorded once, too.
        (&["user", "get", "ci-bot"], &["user.get"]),
        (&["machine", "list", "--owner=bob"], &["user.list"]),
        (&["token", "list", "ci-bot"], &["token.list"]),
        (&["token", "list", "--all", "--user=ci-bot"], &["token.list_all"]),
        (&["token", "revoke", "--user=ci-bot", "--dry-run"], &["token.list_all"]),
        // Every revoked token has a row: the successors and the new one.
        (&["token", "revoke", "--user=ci-bot", "--yes"], &["token.revoke"; 3]),
        (&["user", "delete", "ci-bot", "--yes"], &["user.delete"]),
    ];
    for (command, expected) in commands {
        let ran = sandbox.run_with(command, PASSWORD);
        // `scan` exits with 1 when it finds something.
        assert!(
            ran.code == 0 || command[0] == "scan",
            "{command:?}: {ran:?}"
        );
        let (rows, now) = recorded(&sandbox, last);
        let expected = expected.iter().map(|action| ((*action).to_owned(), 1));
        assert_eq!(rows, expected.collect::<Vec<_>>(), "{command:?}");
        last = now;
    }
}

#[test]
fn dependent_deletions_are_counted_in_the_row() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let [first, second, _third] = [(); 3].map(|()| sandbox.create_token("ci-bot", &[]));
    let server = sandbox.serve(&[]);
    for _ in 0..2 {
        let (status, _) = server.call("TokenService/CreateToken", &first, &serde_json::json!({}));
        assert_eq!(status, 200);
    }
    let (_, mut last) = recorded(&sandbox, 0);
    let mut leaves = |args: &[&str], action: &str, count| {
        sandbox.print(args);
        let (rows, now) = recorded(&sandbox, last);
        assert_eq!(rows, [(action.to_owned(), count)], "{args:?}");
        last = now;
    };
    // The children move to the successor.
    leaves(&["token", "rotate", id_of(&second)], "token.rotate", 1);
    leaves(&["token", "delete", id_of(&first)], "token.delete", 1 + 2);
    leaves(&["user", "delete", "ci-bot", "--yes"], "user.delete", 1 + 2);
    server.stop();
}

#[test]
fn login_and_logout_leave_one_row_each() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let server = sandbox.serve(&[]);
    let (_, last) = recorded(&sandbox, 0);
    let url = format!("http://{}", server.address);
    let run = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("HOME", sandbox.path(""));
        std::fs::write(sandbox.path("password"), PASSWORD).unwrap();
        let ran = super::sandbox::Ran::of(command);
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    run(&[
        "login",
        &url,
        "--username=alice",
        "--password-file=password",
    ]);
    run(&["logout"]);
    let (rows, _) = recorded(&sandbox, last);
    let one = |action: &str| (action.to_owned(), 1);
    assert_eq!(rows, [one("token.create"), one("token.delete")]);
    server.stop();
}
