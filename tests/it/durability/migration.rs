//! The power is cut during a migration, and the disk keeps any part of what was not synced: the next start finds the old
//! database or the new one, and ends with the new one.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use rand::{SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;

use super::{
    disk_model::{Disk, Image, Kept},
    full, in_memory,
    recorder::Recorder,
    recording::{self, Event, Synchronous, counting},
    report,
    run::SEED,
    server::{database, hallpass},
};
use crate::migrations::fixture::{CURRENT, Contents, Fixture, contents, open, options, schema};

/// What a migration of the oldest database did to the disk, and the database before.
struct Recorded {
    /// The first few put the database there.
    events: Vec<Event>,
    prepared: usize,
    before: Contents,
    tables: Vec<String>,
}

fn record() -> Recorded {
    let folder = Fixture::all()[0].restore();
    let sql = open(&folder);
    let (before, tables) = (contents(&sql, None), schema(&sql));
    drop(sql);
    let path = database(folder.path());
    let (inode, data) = (fs::metadata(&path).unwrap().ino(), fs::read(&path).unwrap());
    let mut events = vec![
        Event::Create {
            name: "hallpass.db".to_owned(),
            inode,
        },
        Event::Write {
            inode,
            offset: 0,
            data,
        },
        Event::Sync { inode },
        Event::SyncFolder,
    ];
    let prepared = events.len();
    let log = TempDir::new().unwrap();
    let log = log.path().join("log");
    let recorder = Recorder::new(Some(log.clone()));
    let real = fs::canonicalize(folder.path()).unwrap();
    let command = hallpass(&real, &["migrate"]);
    let output = recorder.watch(command, &real).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    events.extend(recording::read(&fs::read(log).unwrap()));
    Recorded {
        events,
        prepared,
        before,
        tables,
    }
}

/// Opens what the disk kept. Returns whether it was migrated already, or what is wrong.
fn judge(recorded: &Recorded, image: &Image, folder: &Path) -> Result<bool, String> {
    for (name, bytes) in image {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let change = hallpass::store::migrate(&options(folder)).map_err(|error| error.to_string())?;
    if change.from != 1 && change.from != CURRENT {
        return Err(format!("schema {}", change.from));
    }
    let sql = rusqlite::Connection::open(database(folder)).unwrap();
    let check = sql.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
    let is_whole = check.is_ok_and(|line| line == "ok");
    if !is_whole || contents(&sql, Some(&recorded.before)) != recorded.before {
        return Err("rows were lost".to_owned());
    }
    if schema(&sql) == recorded.tables {
        return Err("nothing was migrated".to_owned());
    }
    Ok(change.from == CURRENT)
}

/// The results of cutting the power at each of `cuts`: how many images were old and new, and what was wrong.
fn cut(recorded: &Recorded, cuts: &[usize], synchronous: Synchronous) -> (u32, u32, Vec<String>) {
    let scratch = in_memory();
    let counts = counting(&recorded.events, synchronous);
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut disk, mut done) = (Disk::default(), 0);
    let (mut old, mut new, mut wrong) = (0, 0, Vec::new());
    for &cut in cuts {
        for (at, event) in recorded.events.iter().enumerate().take(cut).skip(done) {
            disk.apply(event, counts[at] || at < recorded.prepared);
        }
        done = cut;
        for kept in [Kept::Nothing, Kept::Some, Kept::Torn, Kept::All] {
            let folder = TempDir::new_in(scratch.path()).unwrap();
            match judge(recorded, &disk.image(kept, &mut dice), folder.path()) {
                Ok(true) => new += 1,
                Ok(false) => old += 1,
                Err(problem) => wrong.push(format!("at {cut}, {kept:?} kept: {problem}")),
            }
        }
    }
    (old, new, wrong)
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn power_cut_in_a_migration_leaves_the_old_database_or_the_new_one() {
    let recorded = record();
    let len = recorded.events.len();
    let most = if full() { len } else { 60 };
    let cuts: BTreeSet<_> = (0..=most)
        .map(|number| recorded.prepared + (len - recorded.prepared) * number / most)
        .collect();
    let cuts: Vec<_> = cuts.into_iter().collect();
    let (old, new, wrong) = cut(&recorded, &cuts, Synchronous::Full);
    // The control: pages reach the database before the log that they come from.
    let (_, _, control) = cut(&recorded, &cuts, Synchronous::Off);
    report(&format!(
        "power cut in a migration: {len} calls, {} cut points: {old} times the old database, {new} times the new one; \
         without syncs {} are damaged",
        cuts.len(),
        control.len(),
    ));
    assert_eq!(wrong, [""; 0]);
    assert!(old > 20 && new > 20, "{old} {new}");
    assert!(!control.is_empty());
}
