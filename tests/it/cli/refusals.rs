//! Each refusal of the store has an exit code of its own and one line that says what to do.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use super::sandbox::Sandbox;

const LIST: &[&str] = &["user", "list"];
const SERVE: &[&str] = &["serve", "--listen=127.0.0.1:0", "--log-level=error"];

#[test]
fn a_missing_database_or_folder_is_3_and_nothing_is_created() {
    let sandbox = Sandbox::empty();
    let refusal = sandbox.run(LIST).refused(3);
    // Most likely it was called from another folder: to make a new database is the last thing to do.
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
fn a_file_that_is_no_database_of_ours_is_4_and_stays_as_it_was() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("hallpass.db");
    fs::write(&file, "something dear to someone").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    sandbox.run(LIST).refused(4);
    sandbox.run(SERVE).refused(4);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "something dear to someone"
    );

    let other = Sandbox::empty();
    other.tamper("CREATE TABLE recipes (name TEXT); PRAGMA application_id = 4711");
    fs::set_permissions(other.path("hallpass.db"), Permissions::from_mode(0o600)).unwrap();
    other.run(SERVE).refused(4);
}

#[test]
fn a_file_that_others_may_read_is_5_unless_told() {
    let sandbox = Sandbox::set_up();
    fs::set_permissions(sandbox.path("hallpass.db"), Permissions::from_mode(0o644)).unwrap();
    let refusal = sandbox.run(LIST).refused(5);
    assert!(refusal.contains("chmod 600"), "{refusal}");
    sandbox.run(SERVE).refused(5);
    sandbox.print(&[LIST, &["--allow-open-permissions"]].concat());
}

#[test]
fn a_folder_that_is_not_writable_is_6() {
    // The one folder in which not even root can create a file.
    let refusal = Sandbox::empty()
        .run(&[SERVE, &["--database-url=sqlite:/sys/hallpass.db"]].concat())
        .refused(6);
    assert!(refusal.contains("/sys"), "{refusal}");
}

#[test]
fn a_newer_schema_is_7_for_all_and_an_older_one_is_8_for_all_but_serve() {
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
fn a_second_server_is_9_and_the_first_goes_on() {
    let sandbox = Sandbox::set_up();
    let first = sandbox.serve(&[]);
    sandbox.run(SERVE).refused(9);
    sandbox.print(&["healthcheck", &format!("--listen={}", first.address)]);
    first.stop();
    sandbox.serve(&[]).stop();
}

#[test]
fn a_damaged_database_is_12_and_what_is_wrong_is_named() {
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
fn whatever_else_keeps_a_database_closed_is_10_and_the_cause_is_told() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.path("file"), "").unwrap();
    let below_a_file = "--database-url=sqlite:file/hallpass.db";
    let refusal = sandbox.run(&[SERVE, &[below_a_file]].concat()).refused(10);
    assert!(refusal.contains("Not a directory"), "{refusal}");
}
