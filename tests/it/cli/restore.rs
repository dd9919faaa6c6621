//! `hallpass restore`: what has ended stays ended unless the operator says otherwise, whatever is there is kept, and what
//! is no intact backup is refused.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    sandbox::{PASSWORD, Ran, Sandbox},
    terminal::Terminal,
};

const KEEP: &str = "--keep-newer-revocations";
const FORGET: &str = "--forget-newer-revocations";
const OTHER_PASSWORD: &str = "another password of the tests";

fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

/// The files that were kept aside.
fn aside(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.contains("before-restore"))
        .collect()
}

/// Asserts that nothing unfinished is left.
fn is_tidy(sandbox: &Sandbox) {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.contains("-restore") || name.contains(".before-restore-")));
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
        tokens[7] = child["token"].as_str().unwrap().to_owned();
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
    fn valid(&self, server: &super::sandbox::Serving) -> Vec<&'static str> {
        let tokens = ENDINGS.iter().zip(&self.tokens);
        let valid = tokens.filter(|(_, token)| server.accepts(token));
        valid.map(|(ending, _)| *ending).collect()
    }
}

fn signs_in(server: &super::sandbox::Serving, user: &str, password: &str) -> bool {
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

#[test]
fn operator_must_choose_and_confirm() {
    let sandbox = Sandbox::with_machine();
    sandbox.print(&["backup", "backup.db"]);
    let token = sandbox.create_token("ci-bot", &[]);
    for args in [
        &[][..],
        &["--yes"],
        &[KEEP],
        &[FORGET],
        &[KEEP, FORGET, "--yes"],
    ] {
        sandbox
            .run(&[&["restore", "backup.db"], args].concat())
            .refused(2);
    }
    for (args, question, answer) in [
        ("", "[keep/forget/N]", ""),
        ("", "[keep/forget/N]", "yes"),
        (KEEP, "stay so. Replace the database? [y/N]", "n"),
        (FORGET, "valid again. Replace the database? [y/N]", "keep"),
    ] {
        let mut terminal = Terminal::run(&sandbox, &format!("restore backup.db {args}"));
        terminal
            .expect("have ended or been limited since this backup")
            .expect(question);
        let (code, seen) = terminal.type_keys(&format!("{answer}\n")).end();
        assert_eq!(code, 1, "{seen}");
        assert!(seen.contains("nothing was done"), "{seen}");
    }
    assert_eq!(aside(&sandbox), [""; 0]);
    is_tidy(&sandbox);
    let mut terminal = Terminal::run(&sandbox, "restore backup.db");
    let (code, seen) = terminal.expect("[keep/forget/N]").type_keys("keep\n").end();
    assert_eq!(code, 0, "{seen}");
    let server = sandbox.serve(&[]);
    assert!(!server.accepts(&token), "it was created after the backup");
    server.stop();
}

#[test]
fn backup_is_restored_where_there_is_no_database_and_from_stdin() {
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &[]);
    sandbox.print(&["backup", "backup.db"]);
    for from_stdin in [false, true] {
        let url = format!("--database-url=sqlite:new{from_stdin}.db");
        let mut command = if from_stdin {
            let mut command = sandbox.command(&["restore", "-", &url]);
            command.stdin(Stdio::from(
                fs::File::open(sandbox.path("backup.db")).unwrap(),
            ));
            command
        } else {
            fs::set_permissions(sandbox.path("backup.db"), fs::Permissions::from_mode(0o400))
                .unwrap();
            sandbox.command(&["restore", "backup.db", &url])
        };
        command.arg("--json");
        let done = Ran::of(command);
        assert_eq!(done.code, 0, "{done:?}");
        let mode = fs::metadata(sandbox.path(&format!("new{from_stdin}.db")))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let server = sandbox.serve(&[&url]);
        assert!(server.accepts(&token));
        server.stop();
    }
    is_tidy(&sandbox);
}

#[test]
fn what_is_no_intact_backup_is_refused_and_changes_nothing() {
    let sandbox = Sandbox::with_machine();
    sandbox.print(&["backup", "good.db"]);
    let good = fs::read(sandbox.path("good.db")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(sandbox.path(name), bytes).unwrap();
    write("cut.db", &good[..good.len() - 5_000]);
    write("empty.db", b"");
    write("text.db", &b"no database at all. ".repeat(100));
    let mut flipped = good.clone();
    flipped[8_192..40_960].fill(0xff);
    write("flipped.db", &flipped);
    let tampered = |name: &str, sql: &str| {
        write(name, &good);
        let database = Connection::open(sandbox.path(name)).unwrap();
        database.execute_batch(sql).unwrap();
    };
    tampered(
        "edited.db",
        "UPDATE audit SET actor = 'x' WHERE sequence = 1",
    );
    tampered("newer.db", "PRAGMA user_version = 99");
    tampered("foreign.db", "PRAGMA application_id = 7");
    tampered("index.db", "DROP INDEX tokens_children");
    let server = sandbox.serve(&[]);
    fs::copy(sandbox.path("hallpass.db"), sandbox.path("alone.db")).unwrap();
    server.stop();
    write("logged.db", &good);
    write("logged.db-wal", b"log");
    let database = fs::read(sandbox.path("hallpass.db")).unwrap();
    for (name, code, says) in [
        ("cut.db", 4, ""),
        ("empty.db", 4, ""),
        ("text.db", 4, "not an SQLite database"),
        ("edited.db", 11, "row 1 of its audit log"),
        ("newer.db", 7, "schema 99"),
        ("foreign.db", 4, "another program"),
        ("index.db", 12, "tokens_children"),
        ("alone.db", 12, "its log (-wal) is missing"),
        ("logged.db", 1, "logged.db-wal"),
        ("hallpass.db", 1, "is the database itself"),
        (".", 1, "is a directory"),
        ("nowhere.db", 1, "cannot read"),
    ] {
        let ran = sandbox.run(&["restore", name, FORGET, "--yes"]);
        let codes = if name == "cut.db" {
            vec![4, 12]
        } else {
            vec![code]
        };
        assert!(codes.contains(&ran.code), "{name}: {ran:?}");
        assert!(ran.stderr.contains(says), "{name}: {ran:?}");
        assert_eq!(
            fs::read(sandbox.path("hallpass.db")).unwrap(),
            database,
            "{name}"
        );
        assert_eq!(aside(&sandbox), [""; 0]);
        is_tidy(&sandbox);
    }
    let ran = sandbox.run(&["restore", "flipped.db", FORGET, "--yes"]);
    assert!([4, 10, 12].contains(&ran.code), "{ran:?}");
    // What is wrong can be accepted.
    sandbox.print(&["restore", "edited.db", FORGET, "--yes", "--accept-findings"]);
    assert_eq!(sandbox.run(&["audit", "verify"]).code, 11);
    assert_eq!(aside(&sandbox).len(), 1);
}

#[test]
fn database_that_is_served_or_only_reached_through_a_server_is_not_replaced() {
    let sandbox = Sandbox::with_machine();
    sandbox.print(&["backup", "backup.db"]);
    let server = sandbox.serve(&[]);
    let url = format!("http://{}", server.address);
    let refused = sandbox
        .run(&["restore", "backup.db", KEEP, "--yes", "--server", &url])
        .refused(2);
    assert!(refused.contains("give --database-url"), "{refused}");
    let refused = sandbox
        .run(&["restore", "backup.db", KEEP, "--yes"])
        .refused(9);
    assert!(refused.contains("is in use by process"), "{refused}");
    server.stop();
    is_tidy(&sandbox);
}

#[test]
fn damaged_database_is_replaced_only_without_asking_it() {
    let sandbox = Sandbox::with_machine();
    sandbox.print(&["backup", "backup.db"]);
    for damage in [b"nothing that SQLite knows. ".repeat(400), {
        let mut bytes = fs::read(sandbox.path("backup.db")).unwrap();
        bytes[8_192..40_960].fill(7);
        bytes
    }] {
        for name in aside(&sandbox) {
            fs::remove_file(sandbox.path(&name)).unwrap();
        }
        fs::write(sandbox.path("hallpass.db"), &damage).unwrap();
        fs::write(sandbox.path("hallpass.db-wal"), b"part of a log").unwrap();
        for name in ["hallpass.db", "hallpass.db-wal"] {
            fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let refused = sandbox
            .run(&["restore", "backup.db", KEEP, "--yes"])
            .refused(12);
        assert!(
            refused.contains("cannot tell what it has ended") && refused.contains(FORGET),
            "{refused}"
        );
        sandbox.print(&["restore", "backup.db", FORGET, "--yes"]);
        let kept = aside(&sandbox);
        assert!(kept.iter().any(|name| !name.ends_with("-wal")), "{kept:?}");
        sandbox.print(&["user", "get", "ci-bot"]);
        sandbox.print(&["data", "check"]);
    }
}

#[test]
fn head_that_was_noted_after_the_backup_is_explained() {
    let sandbox = Sandbox::with_machine();
    sandbox.print(&["backup", "backup.db"]);
    sandbox.create_token("ci-bot", &[]);
    let noted = sandbox.json(&["audit", "verify"])["head"]
        .as_str()
        .unwrap()
        .to_owned();
    let told = sandbox.json(&["restore", "backup.db", KEEP, "--yes"]);
    let backup = told["backupHead"].as_str().unwrap();
    sandbox.print(&["audit", "verify", "--head", backup]);
    // Before the log has as many rows again, and after.
    for _ in 0..2 {
        let ran = sandbox.run(&["audit", "verify", "--head", &noted]);
        assert_eq!(ran.code, 11, "{ran:?}");
        assert!(
            ran.stderr.contains("restored a backup") && ran.stderr.contains(&noted),
            "{ran:?}"
        );
        sandbox.create_token("ci-bot", &[]);
        sandbox.create_token("ci-bot", &[]);
        sandbox.create_token("ci-bot", &[]);
    }
    // The control: a head of no database.
    let made_up = format!("2:{}", "0".repeat(64));
    let ran = sandbox.run(&["audit", "verify", "--head", &made_up]);
    assert!(ran.stderr.contains("was tampered with"), "{ran:?}");
}

#[test]
fn copy_of_the_file_alone_is_told_by_data_check_and_at_the_start() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let token = sandbox.create_token("ci-bot", &[]);
    fs::copy(sandbox.path("hallpass.db"), sandbox.path("copy.db")).unwrap();
    let url = "--database-url=sqlite:copy.db";
    for _ in 0..2 {
        let ran = sandbox.run(&["data", "check", url]);
        assert_eq!(ran.code, 12, "{ran:?}");
        assert!(ran.stdout.contains("its log (-wal) is missing"), "{ran:?}");
    }
    // The control: a server that was killed left its log.
    let (status, _) = server.end(rustix::process::Signal::KILL);
    assert!(!status.success());
    sandbox.print(&["data", "check"]);
    let server = sandbox.serve(&[]);
    sandbox.print(&["data", "check"]);
    assert!(server.accepts(&token));
    server.stop();
    assert!(!sandbox.log().contains("is missing"));
    let server = sandbox.serve(&[url]);
    assert!(
        sandbox.log().contains("its log (-wal) is missing"),
        "{}",
        sandbox.log()
    );
    assert!(
        !server.accepts(&token),
        "the copy lacks what was written last"
    );
    assert_eq!(sandbox.run(&["data", "check", url]).code, 12);
    server.stop();
}
