//! The first server after an upgrade, by the real binary.

use std::fs;

use serde_json::json;

use super::{
    Described,
    fixture::{CURRENT, Fixture},
};
use crate::cli::sandbox::Sandbox;

#[test]
fn first_server_after_an_upgrade_migrates_and_says_so_once() {
    let fixture = &Fixture::all()[0];
    let sandbox = Sandbox::empty();
    fixture.restore_to(&sandbox.path(""));
    let described = Described(&fixture.described);
    let server = sandbox.serve(&["--log-format=json"]);
    for name in ["admin", "plain", "bob"] {
        assert!(server.accepts(described.text(name)), "{name}");
    }
    for name in [
        "revoked",
        "expired",
        "of a deleted person",
        "of a deactivated machine",
    ] {
        assert!(!server.accepts(described.text(name)), "{name}");
    }
    let message = json!({ "action": "data.migrate" });
    let filter = json!({ "filter": message });
    let (status, reply) = server.call(
        "AuditService/ListAuditEvents",
        described.text("admin"),
        &filter,
    );
    assert_eq!(status, 200, "{reply}");
    let events = reply["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{reply}");
    assert_eq!(events[0]["actor"], "system");
    server.stop();

    let log = sandbox.log();
    let records: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said = |text: &str| {
        records
            .iter()
            .filter(|record| record.to_string().contains(text))
            .count()
    };
    assert_eq!(
        said("the database has schema 1, and this hallpass needs 12: migrating it"),
        1,
        "{log}"
    );
    assert_eq!(
        said("migrating the database: "),
        usize::try_from(CURRENT - 1).unwrap()
    );
    assert_eq!(
        said(
            "the database was migrated from schema 1 to 12: an older hallpass can no longer open it"
        ),
        1
    );
    assert_eq!(said("\"to.version\":"), 1, "{log}");

    // The second server has nothing to say.
    fs::remove_file(sandbox.path("serve.log")).unwrap();
    sandbox.serve(&[]).stop();
    assert!(!sandbox.log().contains("schema"), "{}", sandbox.log());

    // A version with the same schema says so, too, and leaves no row.
    sandbox.tamper("UPDATE meta SET value = CAST('0.0.9' AS BLOB) WHERE key = 'version'");
    for times in [1, 0] {
        fs::remove_file(sandbox.path("serve.log")).unwrap();
        sandbox.serve(&[]).stop();
        let log = sandbox.log();
        let text = "opens a database that hallpass 0.0.9 had last: its schema is the same";
        assert_eq!(log.matches(text).count(), times, "{log}");
    }
}

/// The dry run is for before the old server is stopped.
#[test]
fn migrate_refuses_while_a_server_runs_and_the_dry_run_does_not() {
    let sandbox = Sandbox::set_up();
    let server = sandbox.serve(&[]);
    let printed = sandbox.print(&["migrate", "--dry-run"]);
    assert!(printed.starts_with("nothing to do: "), "{printed}");
    let message = sandbox.run(&["migrate"]).refused(9);
    assert!(
        message.contains(&format!("is in use by process {} (hallpass)", server.id())),
        "{message}"
    );
    server.stop();
    let printed = sandbox.print(&["migrate"]);
    assert!(printed.starts_with("nothing to do: "), "{printed}");
}

/// A first start that was killed before it had its first user.
#[test]
fn migrated_database_without_users_still_gets_its_first_admin() {
    let fixture = &Fixture::all()[0];
    let sandbox = Sandbox::empty();
    fixture.restore_to(&sandbox.path(""));
    sandbox.tamper("DELETE FROM tokens; DELETE FROM users; DELETE FROM audit");
    let password = sandbox.path("initial-admin-password");
    fs::write(&password, "wander maple kettle drum").unwrap();
    std::process::Command::new("chmod")
        .arg("600")
        .arg(&password)
        .status()
        .unwrap();
    let server = sandbox.serve(&[]);
    let sign_in = json!({ "username": "admin", "password": "wander maple kettle drum" });
    let (status, reply) = server.call("TokenService/CreateToken", "", &sign_in);
    assert_eq!(status, 200, "{reply}");
    server.stop();
}
