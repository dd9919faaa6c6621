//! `hallpass restore`: whatever is there is kept, and what is no intact backup is refused.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use rusqlite::Connection;

use super::{
    sandbox::{Ran, Sandbox},
    terminal::Terminal,
};

pub(super) const KEEP: &str = "--keep-newer-revocations";
pub(super) const FORGET: &str = "--forget-newer-revocations";

/// The files that were kept aside.
pub(super) fn aside(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.contains("before-restore"))
        .collect()
}

/// Asserts that nothing unfinished is left.
pub(super) fn is_tidy(sandbox: &Sandbox) {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.contains("-restore") || name.contains(".before-restore-")));
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
    // A migration tells, and does not make others forget it.
    for _ in 0..2 {
        let ran = sandbox.run(&["migrate", url]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("its log (-wal) is missing"), "{ran:?}");
    }
    assert_eq!(sandbox.run(&["migrate"]).stderr, "");
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

#[test]
fn what_a_killed_restoration_left_is_removed_by_the_next_one_and_by_whatever_opens_the_database() {
    let sandbox = Sandbox::with_machine();
    sandbox.print(&["backup", "backup.db"]);
    let left = [
        "-restore",
        "-restore-journal",
        "-restore-wal",
        "-restore-shm",
    ];
    let leave = || {
        for suffix in left {
            fs::write(
                sandbox.path(&format!("hallpass.db{suffix}")),
                b"part of a copy",
            )
            .unwrap();
        }
    };
    let commands: [&[&str]; 3] = [
        &["restore", "backup.db", KEEP, "--yes"],
        &["migrate"],
        &["user", "list"],
    ];
    for command in commands {
        leave();
        sandbox.print(command);
        is_tidy(&sandbox);
        sandbox.print(&["data", "check"]);
    }
    leave();
    let server = sandbox.serve(&[]);
    is_tidy(&sandbox);
    server.stop();
    // The control: a restoration that still runs keeps its copy, and another is refused.
    leave();
    let running = fs::File::open(sandbox.path("hallpass.db-restore")).unwrap();
    running.lock().unwrap();
    sandbox.print(&["migrate"]);
    let refused = sandbox
        .run(&["restore", "backup.db", KEEP, "--yes"])
        .refused(9);
    assert!(refused.contains("another process restores"), "{refused}");
    assert!(sandbox.path("hallpass.db-restore").exists());
}
