//! A restoration that is killed at any time leaves the old database or the new one, whole.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rusqlite::Connection;

use super::{
    full, report,
    run::SEED,
    server::{Server, database, hallpass},
};

fn restore(folder: &Path) -> Command {
    let mut command = hallpass(folder, &["restore", "--keep-newer-revocations", "--yes"]);
    command.arg(folder.join("backup.db"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The marks of the databases in the folder, the one in use first.
fn marks(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| {
            name == "hallpass.db" || name.contains(".before-restore-") && !name.ends_with("-shm")
        })
        .collect();
    names.sort();
    let mark = |name: String| {
        let sql = Connection::open(folder.join(name)).unwrap();
        let check: String = sql
            .query_one("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
        sql.query_one(
            "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'mark'",
            [],
            |row| row.get(0),
        )
        .unwrap()
    };
    names.into_iter().map(mark).collect()
}

#[test]
fn kill_9_in_a_restoration_leaves_the_old_database_or_the_new_one() {
    let rounds = if full() { 200 } else { 40 };
    let template = tempfile::tempdir().unwrap();
    Server::start(template.path()).stop();
    let set = |mark: &str| {
        let sql = Connection::open(database(template.path())).unwrap();
        sql.execute(
            "INSERT OR REPLACE INTO meta VALUES ('mark', CAST(?1 AS BLOB))",
            [mark],
        )
        .unwrap();
        sql.execute_batch("INSERT OR REPLACE INTO meta VALUES ('filler', randomblob(1 << 20))")
            .unwrap();
    };
    set("backup");
    let file = template.path().join("backup.db");
    let done = hallpass(template.path(), &["backup"])
        .arg(&file)
        .stdout(Stdio::null())
        .status();
    assert!(done.unwrap().success());
    set("old");
    let copy = || {
        let folder = tempfile::tempdir().unwrap();
        for name in ["hallpass.db", "backup.db"] {
            fs::copy(template.path().join(name), folder.path().join(name)).unwrap();
        }
        folder
    };
    let folder = copy();
    let begin = Instant::now();
    assert!(restore(folder.path()).status().unwrap().success());
    let whole = begin.elapsed();
    assert_eq!(marks(folder.path()), ["backup", "old"]);
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut old, mut new, mut left) = (0, 0, 0);
    for _ in 0..rounds {
        let folder = copy();
        let mut child = restore(folder.path()).spawn().unwrap();
        // A random time is wanted here, not an event.
        thread::sleep(Duration::from_micros(
            dice.random_range(0..u64::try_from(whole.as_micros()).unwrap() * 5 / 4),
        ));
        drop(child.kill());
        child.wait().unwrap();
        left += usize::from(folder.path().join("hallpass.db-restore").exists());
        let found = marks(folder.path());
        match &found[0][..] {
            "old" => old += 1,
            "backup" => {
                assert_eq!(found[1..], ["old"]);
                new += 1;
            }
            other => panic!("{other}"),
        }
        Server::start(folder.path()).stop();
        assert!(!folder.path().join("hallpass.db-restore").exists());
        assert_eq!(marks(folder.path())[0], found[0]);
        assert!(restore(folder.path()).status().unwrap().success());
        assert_eq!(marks(folder.path())[0], "backup");
    }
    report(&format!(
        "restores: {rounds} killed within {whole:?}: {old} left the old database, {new} the new one, {left} an unfinished copy"
    ));
    assert!(old > 0 && new > 0 && left > 0);
}
