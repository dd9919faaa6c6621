//! The process is killed between any two statements of a migration. The next start finds the old database or the new
//! one, and ends with the new one.

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use hallpass::store::{self, StoreOptions};
use rusqlite::{Batch, Connection, fallible_iterator::FallibleIterator as _};
use rustix::process::{Signal, getpid, kill_process};

use super::fixture::{CURRENT, Fixture, contents, migration, open, options, schema};

const FOLDER: &str = "MIGRATION_FOLDER";
const KILL_AT: &str = "MIGRATION_KILL_AT";

static STATEMENTS: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);

fn count_and_die() {
    let count = STATEMENTS.fetch_add(1, Ordering::SeqCst) + 1;
    if count == LAST.load(Ordering::SeqCst) {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}

#[test]
#[ignore = "the tests below run it"]
#[expect(
    clippy::disallowed_methods,
    reason = "settings of the tests, not of the program"
)]
fn in_a_separate_process() {
    let (Some(folder), Some(kill_at)) = (env::var_os(FOLDER), env::var(KILL_AT).ok()) else {
        return;
    };
    LAST.store(kill_at.parse().unwrap(), Ordering::SeqCst);
    let options = StoreOptions {
        after_statement: count_and_die,
        ..options(Path::new(&folder))
    };
    store::migrate(&options).unwrap();
}

/// Migrates in another process, which is killed after that many statements. Returns whether it was.
fn killed_after(folder: &Path, statements: u32) -> bool {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "migrations::kill::in_a_separate_process"])
        .args(["--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(KILL_AT, statements.to_string())
        .output()
        .unwrap();
    if !output.status.success() {
        // Killed, and not failed.
        assert_eq!(output.status.code(), None, "{output:?}");
    }
    !output.status.success()
}

#[test]
fn killed_between_any_two_statements_the_next_start_completes_the_migration() {
    let all = Fixture::all();
    let check = |fixture: &Fixture| {
        let mut statements = 0;
        loop {
            statements += 1;
            let folder = fixture.restore();
            let (before, tables) = (contents(&open(&folder), None), schema(&open(&folder)));
            let was_killed = killed_after(folder.path(), statements);
            if was_killed {
                let sql = open(&folder);
                assert_eq!(
                    schema(&sql),
                    tables,
                    "schema {}, {statements}",
                    fixture.schema
                );
                assert_eq!(contents(&sql, None), before);
                drop(sql);
                store::migrate(&options(folder.path())).unwrap();
            }
            let sql = open(&folder);
            assert_eq!(contents(&sql, Some(&before)), before);
            let version: i64 = sql
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap();
            assert_eq!(version, CURRENT);
            if !was_killed {
                return statements;
            }
        }
    };
    let (old, new) = all.split_at(3);
    let statements: u32 = thread::scope(|scope| {
        let runs = [old, new].map(|part| scope.spawn(move || part.iter().map(check).sum::<u32>()));
        runs.map(|run| run.join().unwrap()).iter().sum()
    });
    assert!(statements > 150, "{statements}");
}

/// The control: if each statement were committed by itself, as without a transaction, some would leave a database that
/// no start completes.
#[test]
fn migration_without_a_transaction_would_not_survive_being_killed() {
    let fixture = &Fixture::all()[0];
    let pending: String = (fixture.schema + 1..=CURRENT).map(migration).collect();
    let scratch = fixture.restore();
    let sql = open(&scratch);
    let count = each_statement(&sql, &pending, usize::MAX);
    let mut completed = 0;
    for killed_after in 1..count {
        let folder = fixture.restore();
        let sql = open(&folder);
        each_statement(&sql, &pending, killed_after);
        drop(sql);
        let before = fs::read(folder.path().join("hallpass.db")).unwrap();
        match store::migrate(&options(folder.path())) {
            Ok(_) => completed += 1,
            Err(refusal) => {
                let text = refusal.to_string();
                assert!(
                    text.contains("could not be migrated") || text.contains("were changed"),
                    "{text}"
                );
                let after = fs::read(folder.path().join("hallpass.db")).unwrap();
                assert!(after == before, "{killed_after}: {text}");
            }
        }
    }
    assert!(completed < count / 2, "{completed} of {count}");
}

/// Runs the first `most` statements, each in a transaction of its own, and returns how many that were.
fn each_statement(sql: &Connection, text: &str, most: usize) -> usize {
    let mut statements = Batch::new(sql, text);
    let mut count = 0;
    while let Some(mut statement) = statements.next().unwrap() {
        statement.execute(()).unwrap();
        count += 1;
        if count == most {
            break;
        }
    }
    count
}
