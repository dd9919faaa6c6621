//! Each refusal of the store has an exit code of its own and one line that says what to do.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use super::sandbox::Sandbox;

const LIST: &[&str] = &["user", "list"];
const SERVE: &[&str] = &["serve", "--listen=127.0.0.1:0", "--log-level=error"];

#[test]
fn missing_database_or_folder_exits_with_3_and_creates_nothing() {
    let sandbox = Sandbox::empty();
    let refusal = sandbox.run(LIST).refused(3);
    // Most likely the command ran in the wrong folder, so it must not suggest a new database first.
    let places = [
        "--database-url",
        "HALLPASS_DATABASE_URL",
        "--server",
        "hallpass login",
        "hallpass serve",
    ];
    let places = places.map(|named| {
        refusal
            .find(named)
            .unwrap_or_else(|| panic!("{named}: {refusal}"))
    });
    assert!(places.is_sorted(), "{refusal}");
    assert!(!sandbox.path("hallpass.db").exists());
    let nowhere = "--database-url=sqlite:nowhere/hallpass.db";
    sandbox.run(&[SERVE, &[nowhere]].concat()).refused(3);
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn foreign_file_exits_with_4_and_is_left_unchanged() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("hallpass.db");
    fs::write(&file, "not a database").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    sandbox.run(LIST).refused(4);
    sandbox.run(SERVE).refused(4);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a database");

    let other = Sandbox::empty();
    other.tamper("CREATE TABLE recipes (name TEXT); PRAGMA application_id = 4711");
    fs::set_permissions(other.path("hallpass.db"), Permissions::from_mode(0o600)).unwrap();
    other.run(SERVE).refused(4);
}

#[test]
fn file_readable_by_others_exits_with_5_unless_allowed() {
    let sandbox = Sandbox::set_up();
    fs::set_permissions(sandbox.path("hallpass.db"), Permissions::from_mode(0o644)).unwrap();
    let refusal = sandbox.run(LIST).refused(5);
    assert!(refusal.contains("chmod 600"), "{refusal}");
    sandbox.run(SERVE).refused(5);
    sandbox.print(&[LIST, &["--allow-open-permissions"]].concat());
}

#[test]
fn unwritable_folder_exits_with_6() {
    // A folder in which not even root can create a file.
    let refusal = Sandbox::empty()
        .run(&[SERVE, &["--database-url=sqlite:/sys/hallpass.db"]].concat())
        .refused(6);
    assert!(refusal.contains("/sys"), "{refusal}");
}

#[test]
fn newer_schema_exits_with_7_and_an_older_one_with_8_except_for_serve() {
    let sandbox = Sandbox::set_up();
    sandbox.tamper("PRAGMA user_version = 9999");
    let before = fs::read(sandbox.path("hallpass.db")).unwrap();
    sandbox.run(LIST).refused(7);
    sandbox.run(SERVE).refused(7);
    assert_eq!(fs::read(sandbox.path("hallpass.db")).unwrap(), before);

    sandbox.tamper("PRAGMA user_version = 0");
    let refusal = sandbox.run(LIST).refused(8);
    assert!(refusal.contains("hallpass serve"), "{refusal}");
}

#[test]
fn second_server_exits_with_9_and_the_first_keeps_running() {
    let sandbox = Sandbox::set_up();
    let first = sandbox.serve(&[]);
    sandbox.run(SERVE).refused(9);
    sandbox.print(&["healthcheck", &format!("--listen={}", first.address)]);
    first.stop();
    sandbox.serve(&[]).stop();
}

#[test]
fn damaged_database_exits_with_12_and_names_the_damage() {
    let sandbox = Sandbox::set_up();
    assert_eq!(
        sandbox.json(&["data", "check"])["findings"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    sandbox.tamper("CREATE TABLE stray (name TEXT)");
    let ran = sandbox.run(&["data", "check"]);
    assert_eq!(ran.code, 12, "{ran:?}");
    assert!(ran.stdout.contains("stray"), "{ran:?}");
}

#[test]
fn any_other_open_failure_exits_with_10_and_names_the_cause() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.path("file"), "").unwrap();
    let below_a_file = "--database-url=sqlite:file/hallpass.db";
    let refusal = sandbox.run(&[SERVE, &[below_a_file]].concat()).refused(10);
    assert!(refusal.contains("Not a directory"), "{refusal}");
}
