//! Databases that are not migrated: newer ones, those of other programs, altered ones. None of their bytes change.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use hallpass::cli::exit_code::ExitCode;
use tempfile::TempDir;

use super::fixture::{CURRENT, Fixture, contents, migrate, migration, open, run, schema};

/// The names and bytes of all files.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    read.collect()
}

/// Runs `command`, which must be refused with `code` and leave every file as it is. Returns the message.
fn refused(folder: &TempDir, command: &[&str], code: ExitCode) -> String {
    let before = files(folder.path());
    let (found, output) = run(folder, command);
    assert_eq!(found, i32::from(code.number()), "{command:?}: {output}");
    let after = files(folder.path());
    let names: Vec<_> = after.keys().collect();
    assert!(after == before, "{command:?} changed a file: {names:?}");
    output
}

const MIGRATE: &[&[&str]] = &[
    &["migrate"],
    &["migrate", "--dry-run"],
    &["serve", "--listen=127.0.0.1:0"],
];

/// Commands that open the database themselves.
const EMBEDDED: &[&[&str]] = &[
    &["status"],
    &["data", "check"],
    &["audit", "verify"],
    &["user", "list"],
    &["token", "list", "--all"],
    &["token", "create", "admin", "--expires=1d"],
];

#[test]
fn newer_database_is_refused_untouched_and_its_version_is_named() {
    let folder = TempDir::new().unwrap();
    assert_eq!(migrate(&folder, &[]).0, 0);
    let newer = format!("PRAGMA user_version = {}", CURRENT + 1);
    open(&folder).execute_batch(&newer).unwrap();
    let refuse = |version: &str| {
        for command in MIGRATE
            .iter()
            .chain(EMBEDDED)
            .chain(&[&["config", "check"][..]])
        {
            let message = refused(&folder, command, ExitCode::NewerSchema);
            let expected = format!(
                "has schema {}, and this hallpass {} knows {CURRENT}: run {version}",
                CURRENT + 1,
                env!("CARGO_PKG_VERSION")
            );
            assert!(message.contains(&expected), "{message}");
        }
        // It asks the server only.
        refused(&folder, &["healthcheck"], ExitCode::NotReady);
    };
    let set = |value: &str| {
        let sql = format!("UPDATE meta SET value = {value} WHERE key = 'version'");
        open(&folder).execute_batch(&sql).unwrap();
    };
    set("CAST('9.8.7-rc.1' AS BLOB)");
    refuse("hallpass 9.8.7-rc.1, which made it, or restore a backup");
    // What is no version is not repeated.
    set("CAST('9' || char(10) || 'rm -rf' AS BLOB)");
    refuse("a newer one, or restore a backup");
    open(&folder).execute_batch("DROP TABLE meta").unwrap();
    refuse("a newer one, or restore a backup");
}

/// Most commands do not migrate, and say which one does.
#[test]
fn older_database_is_only_migrated_by_migrate_and_serve() {
    for fixture in Fixture::all() {
        let folder = fixture.restore();
        for command in EMBEDDED {
            let message = refused(&folder, command, ExitCode::OlderSchema);
            assert!(message.contains("`hallpass migrate`"), "{message}");
        }
        let before = files(folder.path());
        let (code, output) = migrate(&folder, &["--dry-run"]);
        assert!(files(folder.path()) == before);
        assert_eq!(code, 0);
        let mut lines = output.lines();
        let first = lines.next().unwrap();
        let pending = format!("has schema {}, and hallpass", fixture.schema);
        assert!(
            first.contains(&pending) && first.ends_with("Pending:"),
            "{first}"
        );
        let steps = i64::try_from(lines.count()).unwrap();
        assert_eq!(steps, CURRENT - fixture.schema);
    }
}

#[test]
fn database_of_another_program_is_refused_untouched() {
    for sql in [
        "PRAGMA application_id = 1234567; CREATE TABLE t (a)",
        "CREATE TABLE t (a); INSERT INTO t VALUES (1)",
        "PRAGMA user_version = 3; CREATE TABLE users (id)",
        "PRAGMA journal_mode = WAL; PRAGMA application_id = 1; CREATE TABLE t (a)",
    ] {
        let folder = TempDir::new().unwrap();
        open(&folder).execute_batch(sql).unwrap();
        let path = folder.path().join("hallpass.db");
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        for command in MIGRATE {
            let message = refused(&folder, command, ExitCode::NotADatabase);
            assert!(
                message.contains("a database of another program"),
                "{sql}: {message}"
            );
        }
    }
}

/// Tables that somebody changed by hand would break migrations and statements half-way.
#[test]
fn altered_database_is_refused_untouched_with_what_differs() {
    let current = TempDir::new().unwrap();
    assert_eq!(migrate(&current, &[]).0, 0);
    let oldest = Fixture::all()[0].restore();
    for (folder, harm, difference) in [
        (
            &current,
            "ALTER TABLE tokens ADD COLUMN color TEXT",
            "the schema's table tokens differs",
        ),
        (
            &current,
            "DROP TABLE known_networks",
            "the schema lacks index known_networks_ended",
        ),
        (
            &oldest,
            "ALTER TABLE users RENAME COLUMN role TO rank",
            "the schema's table users differs",
        ),
        (
            &oldest,
            "DROP INDEX tokens_listed",
            "the schema lacks index tokens_listed",
        ),
    ] {
        let copy = TempDir::new().unwrap();
        fs::copy(
            folder.path().join("hallpass.db"),
            copy.path().join("hallpass.db"),
        )
        .unwrap();
        open(&copy).execute_batch(harm).unwrap();
        for command in [MIGRATE[0], MIGRATE[2]] {
            let message = refused(&copy, command, ExitCode::CannotOpen);
            assert!(
                message.contains("changed by something other than hallpass ("),
                "{message}"
            );
            assert!(message.contains(difference), "{harm}: {message}");
        }
    }
    // An index of an operator's own is no harm, unless a migration needs its name.
    let sql = open(&oldest);
    sql.execute_batch("CREATE INDEX mine ON tokens (note)")
        .unwrap();
    sql.execute_batch("CREATE TABLE known_networks (mine)")
        .unwrap();
    let (before, tables) = (contents(&sql, None), schema(&sql));
    drop(sql);
    let (code, message) = migrate(&oldest, &[]);
    assert_eq!(code, i32::from(ExitCode::CannotOpen.number()));
    assert!(
        message.contains("could not be migrated from schema 1 to 12, and is as it was before"),
        "{message}"
    );
    assert!(
        message.contains("known_networks already exists"),
        "{message}"
    );
    let sql = open(&oldest);
    assert_eq!((contents(&sql, None), schema(&sql)), (before, tables));
    sql.execute_batch("DROP TABLE known_networks").unwrap();
    drop(sql);
    assert_eq!(migrate(&oldest, &[]).0, 0);
}

/// A number that another branch of the development once gave to another migration.
#[test]
fn schema_of_a_branch_that_never_landed_is_refused() {
    let four = &Fixture::all()[3];
    let folder = four.restore();
    let sql = open(&folder);
    sql.execute_batch(&migration(8)).unwrap();
    sql.execute_batch("PRAGMA user_version = 5").unwrap();
    drop(sql);
    let message = refused(&folder, &["migrate"], ExitCode::CannotOpen);
    assert!(
        message.contains("the schema lacks table known_networks"),
        "{message}"
    );
}

#[test]
fn no_database_is_created_by_a_dry_run() {
    let folder = TempDir::new().unwrap();
    let (code, output) = migrate(&folder, &["--dry-run"]);
    assert!(
        code == 0 && output.contains("it would be created with schema 12"),
        "{output}"
    );
    assert!(files(folder.path()).is_empty());
    let (code, output) = migrate(&folder, &[]);
    assert!(code == 0 && output.starts_with("created "), "{output}");
    let (code, output) = migrate(&folder, &["--dry-run"]);
    assert!(
        code == 0 && output.starts_with("nothing to do: "),
        "{output}"
    );
}
