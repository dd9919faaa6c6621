//! `hallpass audit`.

use super::sandbox::Sandbox;

#[test]
fn what_a_command_does_is_on_record() {
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
fn an_edited_row_is_11_and_named() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let intact = sandbox.json(&["audit", "verify"]);
    // This very read is the third.
    assert_eq!(intact["rows"], "3");
    assert_eq!(intact["breaks"].as_array().unwrap().len(), 0);

    sandbox.tamper("UPDATE audit SET actor = 'someone else' WHERE sequence = 2");
    let ran = sandbox.run(&["audit", "verify"]);
    assert_eq!(ran.code, 11, "{ran:?}");
    assert!(ran.stdout.starts_with("row 2: "), "{ran:?}");
    assert!(ran.stderr.contains("row 2"), "{ran:?}");
}

#[test]
fn a_log_that_was_cut_is_found_by_the_head_that_was_noted() {
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
