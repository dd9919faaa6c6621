//! What has ended since a backup stays ended when it is restored, unless the operator says otherwise.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    restore::{FORGET, KEEP, aside, is_tidy},
    sandbox::{PASSWORD, Sandbox, Serving},
};
use crate::migrations::fixture::Fixture;

const OTHER_PASSWORD: &str = "another password of the tests";

fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

/// Every way in which a credential ends or is limited, each on a token of its own.
const ENDINGS: [&str; 11] = [
    "revoked",
    "purged",
    "rotated",
    "in its grace",
    "disabled",
    "disabled by an admin",
    "narrowed",
    "of a parent",
    "of a deleted user",
    "of a deactivated user",
    "of a machine given away",
];

/// A database with a token for each of [`ENDINGS`] and two that stay, a backup of it, and a server on which all that has
/// happened since.
struct Since {
    sandbox: Sandbox,
    tokens: Vec<String>,
    /// Valid before and after.
    kept: String,
    /// Enabled and given back since.
    disabled_before: String,
}

impl Since {
    fn the_backup() -> Self {
        let sandbox = Sandbox::set_up();
        for person in ["alice", "bob", "carol", "dave", "erin"] {
            sandbox.create_person(person);
        }
        let set_role = |user: &str, role: &str| sandbox.print(&["user", "set-role", user, role]);
        set_role("dave", "admin");
        sandbox.print(&["machine", "create", "robot", "--owner=erin"]);
        let mut tokens: Vec<_> = ENDINGS[..7]
            .iter()
            .map(|_| sandbox.create_token("alice", &["--scope=a", "--scope=b"]))
            .collect();
        tokens.push(String::new());
        for user in ["bob", "carol", "robot"] {
            tokens.push(sandbox.create_token(user, &[]));
        }
        let (kept, disabled_before) = (
            sandbox.create_token("alice", &[]),
            sandbox.create_token("alice", &[]),
        );
        sandbox.print(&["token", "disable", id(&disabled_before)]);
        let server = sandbox.serve(&[]);
        let (_, child) = server.call("TokenService/CreateToken", &kept, &json!({}));
        child["token"].as_str().unwrap().clone_into(&mut tokens[7]);
        sandbox.print(&["backup", "backup.db", "--verify"]);

        sandbox.print(&["token", "delete", id(&tokens[0]), "--yes"]);
        sandbox.print(&["token", "delete", id(&tokens[1]), "--yes"]);
        sandbox.print(&["token", "rotate", id(&tokens[2])]);
        sandbox.print(&["token", "rotate", id(&tokens[3]), "--grace=1h"]);
        let disable = json!({ "tokenId": id(&tokens[4]), "disabled": true });
        assert_eq!(
            server.call("TokenService/UpdateToken", &kept, &disable).0,
            200
        );
        sandbox.print(&["token", "disable", id(&tokens[5])]);
        sandbox.print(&["token", "update", id(&tokens[6]), "--scope=a"]);
        sandbox.print(&["token", "delete", id(&tokens[7]), "--yes"]);
        sandbox.print(&["user", "delete", "bob", "--yes"]);
        sandbox.print(&["user", "deactivate", "carol", "--yes"]);
        sandbox.print(&["user", "set-role", "dave", "member"]);
        sandbox.create_person("frank");
        sandbox.print(&["machine", "set-owner", "robot", "frank"]);
        let changed = sandbox.run_with(
            &["user", "set-password", "alice", "--password-stdin"],
            OTHER_PASSWORD,
        );
        assert_eq!(changed.code, 0, "{changed:?}");
        sandbox.print(&["token", "enable", id(&disabled_before)]);
        server.stop();
        sandbox.tamper(&format!(
            "DELETE FROM tokens WHERE id = '{}'",
            id(&tokens[1])
        ));
        Self {
            sandbox,
            tokens,
            kept,
            disabled_before,
        }
    }

    fn row(&self, sql: &str) -> Vec<String> {
        let database = Connection::open(self.sandbox.path("hallpass.db")).unwrap();
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map((), |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Which of the tokens are valid.
    fn valid(&self, server: &Serving) -> Vec<&'static str> {
        let tokens = ENDINGS.iter().zip(&self.tokens);
        let valid = tokens.filter(|(_, token)| server.accepts(token));
        valid.map(|(ending, _)| *ending).collect()
    }
}

fn signs_in(server: &Serving, user: &str, password: &str) -> bool {
    let message = json!({ "username": user, "password": password });
    server.call("TokenService/CreateToken", "", &message).0 == 200
}

#[test]
fn whatever_has_ended_since_the_backup_stays_ended() {
    let since = Since::the_backup();
    let before = fs::read(since.sandbox.path("backup.db")).unwrap();
    let told = since.sandbox.json(&["restore", "backup.db", KEEP, "--yes"]);
    assert_eq!(fs::read(since.sandbox.path("backup.db")).unwrap(), before);
    assert_eq!(
        told["keptEnded"],
        json!({ "tokens": "9", "users": "5" }),
        "{told}"
    );
    is_tidy(&since.sandbox);
    assert_eq!(aside(&since.sandbox).len(), 1);
    let disabled = format!(
        "SELECT id || ' ' || disabled_by FROM tokens WHERE disabled = 1 AND id <> '{}' ORDER BY disabled_by",
        id(&since.disabled_before)
    );
    let expected = [
        format!("{} admin", id(&since.tokens[5])),
        format!("{} owner", id(&since.tokens[4])),
    ];
    assert_eq!(since.row(&disabled), expected);
    let scopes = format!(
        "SELECT scopes FROM tokens WHERE id = '{}'",
        id(&since.tokens[6])
    );
    assert_eq!(since.row(&scopes), ["a"]);
    let users = "SELECT username || ' ' || role || ' ' || deactivated || ' ' || (delete_time IS NOT NULL) FROM users \
                 WHERE username IN ('bob', 'carol', 'dave') ORDER BY username";
    assert_eq!(since.row(users)[0], "bob member 0 1");
    assert_eq!(
        since.row(users)[1..],
        ["carol member 1 0", "dave member 0 0"]
    );
    let owner = "SELECT o.username FROM users m JOIN users o ON o.id = m.owner_id WHERE m.username = 'robot'";
    assert_eq!(since.row(owner), ["frank"]);
    let server = since.sandbox.serve(&[]);
    // What another has now is still valid, as before the restoration.
    assert_eq!(
        since.valid(&server),
        ["in its grace", "narrowed", "of a machine given away"]
    );
    assert!(server.accepts(&since.kept));
    // The backup had it disabled.
    assert!(!server.accepts(&since.disabled_before));
    assert!(signs_in(&server, "alice", OTHER_PASSWORD) && !signs_in(&server, "alice", PASSWORD));
    assert!(signs_in(&server, "dave", PASSWORD));
    for user in ["bob", "carol"] {
        assert!(!signs_in(&server, user, PASSWORD), "{user}");
    }
    since.sandbox.print(&["audit", "verify"]);
    since.sandbox.print(&["data", "check"]);
    server.stop();
}

/// The control of the test above: all of it would be valid again.
#[test]
fn what_has_ended_is_valid_again_only_if_that_is_asked_for() {
    let since = Since::the_backup();
    let told = since
        .sandbox
        .json(&["restore", "backup.db", FORGET, "--yes"]);
    assert_eq!(told["keptEnded"], Value::Null);
    let server = since.sandbox.serve(&[]);
    assert_eq!(since.valid(&server), ENDINGS);
    assert!(signs_in(&server, "alice", PASSWORD) && !signs_in(&server, "alice", OTHER_PASSWORD));
    assert!(!server.accepts(&since.disabled_before));
    let rows = since
        .sandbox
        .json(&["audit", "list", "--action=data.restore_forget"]);
    assert_eq!(rows["events"].as_array().unwrap().len(), 1);
    server.stop();
    // The database that was replaced is whole, and can come back.
    let kept = aside(&since.sandbox).remove(0);
    since.sandbox.print(&["restore", &kept, FORGET, "--yes"]);
    let server = since.sandbox.serve(&[]);
    assert!(!server.accepts(&since.tokens[0]) && server.accepts(&since.disabled_before));
    server.stop();
}

/// A backup from before an upgrade is raised to this schema, and what was revoked after the upgrade stays so.
#[test]
fn backup_of_every_older_schema_is_restored_without_what_was_revoked_since() {
    for fixture in Fixture::all() {
        let what = format!("schema {}", fixture.schema);
        let sandbox = Sandbox::empty();
        fixture.restore_to(&sandbox.path(""));
        fs::copy(sandbox.path("hallpass.db"), sandbox.path("backup.db")).unwrap();
        let tokens = fixture.described["tokens"].as_array().unwrap();
        let valid = || -> Vec<&str> {
            let server = sandbox.serve(&[]);
            let texts = tokens.iter().map(|token| token["text"].as_str().unwrap());
            let valid = texts.filter(|text| server.accepts(text)).collect();
            server.stop();
            valid
        };
        let text = |name: &str| {
            let token = tokens.iter().find(|token| token["name"] == name).unwrap();
            token["text"].as_str().unwrap()
        };
        // The first server migrates it.
        let before = valid();
        for name in ["plain", "parent"] {
            sandbox.print(&["token", "delete", id(text(name)), "--yes"]);
        }
        let after = valid();
        for name in ["plain", "parent", "child"] {
            let is_valid = |texts: &[&str]| texts.contains(&text(name));
            assert!(is_valid(&before) && !is_valid(&after), "{what}: {name}");
        }
        let told = sandbox.json(&["restore", "backup.db", KEEP, "--yes"]);
        assert_eq!(told["backupSchema"], fixture.schema, "{told}");
        assert_eq!(valid(), after, "{what}");
        sandbox.print(&["audit", "verify"]);
        sandbox.print(&["data", "check"]);
        is_tidy(&sandbox);
        // The control: else they would be valid again.
        sandbox.print(&["restore", "backup.db", FORGET, "--yes"]);
        assert_eq!(valid(), before, "{what}");
    }
}
