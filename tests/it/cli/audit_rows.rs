//! Each command leaves one row in the audit log, however many calls it makes.

use serde_json::Value;

use super::sandbox::{PASSWORD, Sandbox};

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

fn id(text: &str) -> &str {
    text.split('_').nth(1).unwrap()
}

#[test]
fn each_command_leaves_one_audit_row() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let [first, second, third, leaked] = [(); 4].map(|()| sandbox.create_token("ci-bot", &[]));
    std::fs::write(sandbox.path("leak"), &leaked).unwrap();
    let (first, second, third) = (id(&first), id(&second), id(&third));
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
    leaves(&["token", "rotate", id(&second)], "token.rotate", 1);
    leaves(&["token", "delete", id(&first)], "token.delete", 1 + 2);
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
