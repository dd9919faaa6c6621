//! `hallpass user` and `hallpass machine`, as clients of a running server.

use serde_json::{Value, json};

use super::sandbox::{PASSWORD, Sandbox};

#[test]
fn person_can_be_created_shown_changed_and_deleted() {
    let sandbox = Sandbox::set_up();
    let create = [
        "user",
        "create",
        "Alice",
        "--password-stdin",
        "--role=admin",
        "--json",
    ];
    let ran = sandbox.run_with(&create, PASSWORD);
    assert_eq!(ran.code, 0, "{ran:?}");
    let created: Value = serde_json::from_str(&ran.stdout).unwrap();
    let user = &created["user"];
    assert_eq!(user["username"], "alice");
    assert_eq!(user["userType"], "USER_TYPE_PERSONAL");
    assert_eq!(user["role"], "SERVER_ROLE_ADMIN");
    assert_eq!(user["deactivated"], false);
    assert_eq!(user["ownerId"], "");

    // By name and by ID.
    let id = user["id"].as_str().unwrap();
    assert_eq!(sandbox.json(&["user", "get", "alice"]), created);
    assert_eq!(sandbox.json(&["user", "get", id]), created);

    let changed = sandbox.json(&["user", "set-role", id, "member"]);
    assert_eq!(changed["user"]["role"], "SERVER_ROLE_MEMBER");
    let gone = sandbox.json(&["user", "delete", "alice", "--yes"]);
    assert_eq!(gone, json!({ "deletedTokens": 0 }));
    sandbox.run(&["user", "get", "alice"]).refused(1);
}

#[test]
fn tables_show_relative_times_and_details_show_both() {
    let sandbox = Sandbox::set_up();
    let list = sandbox.print(&["user", "list"]);
    let [header, admin] = list.lines().collect::<Vec<_>>()[..] else {
        panic!("{list}");
    };
    assert_eq!(header, "USERNAME  TYPE    ROLE   STATE   CREATED");
    assert!(
        admin.starts_with("admin     person  admin  active  "),
        "{list}"
    );
    assert!(admin.ends_with("s ago"), "{list}");
    let user = sandbox.print(&["user", "get", "admin"]);
    assert!(user.contains("Role:         admin\n"), "{user}");
    let created = user.lines().find(|line| line.starts_with("Created:"));
    let is_absolute = created.is_some_and(|line| line.contains("Z (") && line.ends_with(')'));
    assert!(is_absolute, "{user}");
}

#[test]
fn password_comes_from_stdin_or_a_file_and_is_checked() {
    let sandbox = Sandbox::set_up();
    std::fs::write(sandbox.path("secret"), PASSWORD).unwrap();
    sandbox.print(&["user", "create", "alice", "--password-file=secret"]);
    let set = ["user", "set-password", "alice", "--password-stdin"];
    assert_eq!(sandbox.run_with(&set, "a longer one than before").code, 0);
    let refusal = sandbox.run_with(&set, "short").refused(1);
    assert!(!refusal.contains("short"), "{refusal}");
    // Without a terminal there is no prompt.
    sandbox.run(&["user", "create", "carol"]).refused(2);
    sandbox
        .run(&["user", "create", "carol", PASSWORD])
        .refused(2);
}

#[test]
fn without_a_terminal_destructive_commands_need_yes() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    for command in ["deactivate", "delete"] {
        let refusal = sandbox.run(&["user", command, "alice"]).refused(2);
        assert!(refusal.contains("--yes"), "{refusal}");
    }
    assert_eq!(
        sandbox.json(&["user", "get", "alice"])["user"]["deactivated"],
        false
    );
}

#[test]
fn last_admin_cannot_be_removed() {
    let sandbox = Sandbox::set_up();
    sandbox
        .run(&["user", "set-role", "admin", "member"])
        .refused(1);
    sandbox
        .run(&["user", "delete", "admin", "--yes"])
        .refused(1);
    sandbox
        .run(&["user", "deactivate", "admin", "--yes"])
        .refused(1);
}

#[test]
fn machine_has_an_owner_that_can_be_changed() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.run(&["machine", "create", "ci-bot"]).refused(2);
    sandbox
        .run(&["machine", "create", "ci-bot", "--owner=nobody"])
        .refused(1);
    let made = sandbox.json(&["machine", "create", "ci-bot", "--owner=alice"]);
    let alice = sandbox.json(&["user", "get", "alice"])["user"]["id"].clone();
    assert_eq!(made["user"]["ownerId"], alice);
    assert_eq!(made["user"]["userType"], "USER_TYPE_MACHINE");

    let told = sandbox.print(&["user", "get", "ci-bot"]);
    let owner = format!("alice ({})", alice.as_str().unwrap());
    assert!(told.contains(&owner), "{told}");
    let list = sandbox.print(&["machine", "list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("  alice  "), "{list}");
    sandbox.print(&["machine", "set-owner", "ci-bot", "admin"]);
    let of = |owner: &str| sandbox.json(&["machine", "list", "--owner", owner])["users"].clone();
    assert_eq!(of("alice"), json!([]));
    assert_eq!(of("admin")[0]["username"], "ci-bot");
}

#[test]
fn lists_have_an_order_and_filters() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    for i in 0..3 {
        sandbox.print(&["machine", "create", &format!("bot-{i}"), "--owner=alice"]);
    }
    let names = |args: &[&str]| -> Vec<String> {
        let list = sandbox.json(args)["users"].clone();
        let names = list.as_array().unwrap().iter();
        names
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    let rising = names(&["user", "list"]);
    assert_eq!(rising, ["admin", "alice", "bot-0", "bot-1", "bot-2"]);
    let mut falling = names(&["user", "list", "--reverse"]);
    falling.reverse();
    assert_eq!(falling, rising);

    sandbox.print(&["user", "deactivate", "bot-1", "--yes"]);
    assert_eq!(names(&["user", "list", "--deactivated"]), ["bot-1"]);
    assert_eq!(names(&["user", "list", "--active"]).len(), 4);
}

#[test]
fn next_request_sees_what_a_command_did() {
    let sandbox = Sandbox::set_up();
    let server = sandbox.serve(&[]);
    sandbox.create_person("alice");
    sandbox.print(&["machine", "create", "ci-bot", "--owner=alice"]);
    let token = sandbox.create_token("ci-bot", &[]);
    assert!(server.accepts(&token));
    sandbox.print(&["user", "deactivate", "ci-bot", "--yes"]);
    assert!(!server.accepts(&token));
    sandbox.print(&["user", "reactivate", "ci-bot"]);
    assert!(server.accepts(&token));

    // The JSON output has the names and forms of the API's replies.
    let (_, answer) = server.call("AuthnService/GetCurrentUser", &token, &json!({}));
    let told = sandbox.json(&["user", "get", "ci-bot"]);
    for (field, value) in answer["user"].as_object().unwrap() {
        assert_eq!(&told["user"][field], value, "{field}");
    }
    server.stop();
}
