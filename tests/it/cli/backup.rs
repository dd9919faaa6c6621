//! `hallpass backup`: files appear whole or not at all, and nothing is overwritten by mistake.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::Stdio,
};

use rusqlite::Connection;
use serde_json::Value;

use super::{
    sandbox::{Ran, Sandbox},
    terminal::Terminal,
};

/// The names in the folder of the sandbox that do not belong to the database.
fn files(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others = ["hallpass.db", "initial-admin-password", "serve.log"];
    let mut names: Vec<_> = names
        .filter(|name| !others.iter().any(|other| name.starts_with(other)))
        .collect();
    names.sort();
    names
}

fn tokens(sandbox: &Sandbox, file: &str) -> i64 {
    let backup = Connection::open(sandbox.path(file)).unwrap();
    let count = "SELECT count(*) FROM tokens WHERE delete_time IS NULL";
    backup.query_one(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn backup_of_a_server_and_of_a_database_without_one_is_verified_and_private() {
    let sandbox = Sandbox::with_machine();
    sandbox.create_token("ci-bot", &[]);
    sandbox.print(&["backup", "alone.db", "--verify"]);
    let server = sandbox.serve(&[]);
    sandbox.create_token("ci-bot", &[]);
    let told = sandbox.json(&["backup", "served.db", "--verify"]);
    assert_eq!(files(&sandbox), ["alone.db", "served.db"]);
    assert_eq!(
        (tokens(&sandbox, "alone.db"), tokens(&sandbox, "served.db")),
        (1, 2)
    );
    for file in ["alone.db", "served.db"] {
        let mode = fs::metadata(sandbox.path(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let size = fs::metadata(sandbox.path("served.db")).unwrap().len();
    assert_eq!(told["sizeBytes"], size.to_string());
    assert_eq!(
        (&told["verified"]["users"], &told["verified"]["tokens"]),
        (&"2".into(), &"2".into())
    );
    let head = told["auditHead"].as_str().unwrap().to_owned();
    sandbox.print(&["audit", "verify", "--head", &head]);
    let rows = sandbox.json(&["audit", "list", "--action=data.backup"]);
    assert_eq!(rows["events"].as_array().unwrap().len(), 2);
    server.stop();
}

#[test]
fn backup_from_afar_needs_an_unscoped_token_of_an_admin() {
    let sandbox = Sandbox::with_machine();
    let admin = sandbox.create_token("admin", &[]);
    let scoped = sandbox.create_token("admin", &["--scope=hallpass:admin"]);
    let machine = sandbox.create_token("ci-bot", &[]);
    let server = sandbox.serve(&[]);
    let url = format!("http://{}", server.address);
    let back_up = |token: &str| {
        let mut command = sandbox.command(&["backup", "far.db", "--verify", "--server", &url]);
        command.env("HALLPASS_TOKEN", token);
        Ran::of(command)
    };
    for token in [&scoped, &machine] {
        back_up(token).refused(1);
        assert_eq!(files(&sandbox), [""; 0]);
    }
    let done = back_up(&admin);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    assert_eq!(tokens(&sandbox, "far.db"), 3);
}

#[test]
fn existing_file_is_replaced_only_by_force_and_a_link_never() {
    let sandbox = Sandbox::set_up();
    fs::write(sandbox.path("kept"), "kept").unwrap();
    symlink("kept", sandbox.path("link")).unwrap();
    let refused = sandbox.run(&["backup", "kept"]).refused(1);
    assert!(
        refused.contains("kept exists") && refused.contains("--force"),
        "{refused}"
    );
    for args in [&["backup", "link"][..], &["backup", "link", "--force"]] {
        let refused = sandbox.run(args).refused(1);
        assert!(refused.contains("is a link"), "{refused}");
    }
    assert_eq!(fs::read(sandbox.path("kept")).unwrap(), b"kept");
    sandbox.print(&["backup", "kept", "--force", "--verify"]);
    assert_eq!(tokens(&sandbox, "kept"), 0);
    assert_eq!(files(&sandbox), ["kept", "link"]);
    let refused = sandbox.run(&["backup", "nowhere/file"]).refused(1);
    assert!(refused.contains("cannot write nowhere/file"), "{refused}");
}

#[test]
fn failed_backup_keeps_the_file_that_it_was_to_replace() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["backup", "good.db"]);
    let good = fs::read(sandbox.path("good.db")).unwrap();
    // A row that nobody has written.
    sandbox.tamper("UPDATE audit SET actor = 'somebody' WHERE sequence = 1");
    let refused = sandbox
        .run(&["backup", "good.db", "--force", "--verify"])
        .refused(12);
    assert!(refused.contains("row 1 of its audit log"), "{refused}");
    assert_eq!(fs::read(sandbox.path("good.db")).unwrap(), good);
    assert_eq!(files(&sandbox), ["good.db"]);
    // The control: without the check it is a backup of what there is.
    sandbox.print(&["backup", "good.db", "--force"]);
    assert_ne!(fs::read(sandbox.path("good.db")).unwrap(), good);
}

#[test]
fn backup_on_stdout_is_the_file_alone_and_never_goes_to_a_terminal() {
    let sandbox = Sandbox::set_up();
    let mut command = sandbox.command(&["backup", "-"]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let hint = String::from_utf8(output.stderr).unwrap();
    assert!(
        hint.contains("SHA-256") && hint.lines().count() == 1,
        "{hint}"
    );
    fs::write(sandbox.path("piped.db"), output.stdout).unwrap();
    assert_eq!(tokens(&sandbox, "piped.db"), 0);
    for flag in ["--force", "--verify", "--json"] {
        let refused = sandbox.run(&["backup", "-", flag]).refused(2);
        assert!(refused.contains(flag), "{refused}");
    }
    let (code, seen) = Terminal::run(&sandbox, "backup -").end();
    assert_eq!(code, 2, "{seen}");
    assert!(seen.contains("no text for a terminal"), "{seen}");
    let (code, seen) = Terminal::run(&sandbox, "backup shown.db --verify").end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("Verified:    intact"), "{seen}");
}

#[test]
fn reader_that_goes_away_ends_the_command_with_its_code() {
    let sandbox = Sandbox::set_up();
    sandbox.tamper("INSERT INTO meta VALUES ('filler', randomblob(4000000))");
    let mut command = sandbox.command(&["backup", "-"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    assert_eq!(&first, b"SQLite format 3\0");
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let check: Value = sandbox.json(&["data", "check"]);
    assert_eq!(check["findings"], Value::Array(Vec::new()));
}
