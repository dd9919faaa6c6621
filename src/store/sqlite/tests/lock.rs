//! A file never has two owners, however it is reached.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::symlink,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::super::{
    connect,
    file::beside,
    lock::{DatabaseLock, flock_process},
};
use crate::store::{Db, OpenAs, OpenError, SqliteOpenError, SqliteOptions, tests::samples::Folder};

fn refused(path: &Path, open_as: OpenAs) -> OpenError {
    let mut options = Folder::options_of(path.to_owned(), open_as);
    options.lock_wait = Duration::from_millis(60);
    Db::open(&options).unwrap_err()
}

/// Whether anyone holds the lock on `file`.
fn is_locked(file: &File) -> bool {
    let taken = file.try_lock();
    let is_locked = matches!(taken, Err(TryLockError::WouldBlock));
    if taken.is_ok() {
        file.unlock().unwrap();
    }
    is_locked
}

#[test]
fn a_file_has_one_owner_whatever_its_name_and_the_kind_of_process() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let [link, second] = ["link", "second"].map(|name| folder.dir.path().join(name));
    symlink(folder.path(), &link).unwrap();
    fs::hard_link(folder.path(), &second).unwrap();
    for path in [&folder.path(), &link, &second] {
        for open_as in [OpenAs::Serve, OpenAs::Embedded] {
            let begun = Instant::now();
            let error = refused(path, open_as);
            assert!(begun.elapsed() >= Duration::from_millis(60));
            let by = format!("process {} (", std::process::id());
            assert!(
                matches!(error, OpenError::AlreadyServed { .. }) && error.to_string().contains(&by),
                "{error}"
            );
        }
    }
    drop(db);
    fs::remove_file(second).unwrap();
    drop(Folder::open_at(&link, OpenAs::Embedded));
}

/// The control for the test above: without the lock, `SQLite` admits any number of processes.
#[test]
fn without_the_lock_there_would_be_two_owners() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let first = File::open(folder.path()).unwrap();
    assert!(is_locked(&first));
    let manager = connect::manager(&folder.path(), Duration::ZERO);
    let other = r2d2::ManageConnection::connect(&manager).unwrap();
    other
        .execute_batch("BEGIN IMMEDIATE; UPDATE users SET description = ''; COMMIT")
        .unwrap();
    drop((other, db));
    assert!(!is_locked(&first));
}

#[test]
fn a_waiting_process_takes_over_once_the_owner_ends() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let mut options = folder.options(OpenAs::Serve);
    options.lock_wait = Duration::from_mins(1);
    thread::scope(|scope| {
        let (opened, is_open) = mpsc::channel();
        scope.spawn(move || opened.send(Db::open(&options).map(drop)));
        assert!(is_open.recv_timeout(Duration::from_millis(100)).is_err());
        drop(db);
        is_open.recv().unwrap().unwrap();
    });
}

/// A process that waits for the lock of a file that is then replaced owns the new file.
#[test]
fn a_waiting_process_owns_the_file_that_is_then_at_the_path() {
    let folder = Folder::new();
    let held = {
        drop(folder.open(OpenAs::Serve));
        File::open(folder.path()).unwrap()
    };
    held.try_lock().unwrap();
    let other = folder.dir.path().join("other");
    fs::copy(folder.path(), &other).unwrap();
    let mut options = folder.options(OpenAs::Serve);
    options.lock_wait = Duration::from_mins(1);
    let sqlite = SqliteOptions::new(folder.path());
    thread::scope(|scope| {
        let (opened, is_open) = mpsc::channel();
        scope.spawn(move || opened.send(DatabaseLock::acquire(&sqlite, &options)));
        fs::rename(&other, folder.path()).unwrap();
        let lock = is_open.recv().unwrap().unwrap();
        assert!(lock.is_at_its_path());
        assert!(is_locked(&File::open(folder.path()).unwrap()));
    });
}

/// The state after a crash.
#[test]
fn a_log_beside_another_name_is_not_ignored() {
    let folder = Folder::new();
    drop(folder.open(OpenAs::Serve));
    let second = folder.dir.path().join("second");
    fs::hard_link(folder.path(), &second).unwrap();
    drop(Folder::open_at(&second, OpenAs::Serve));
    fs::write(beside(&folder.path(), "-wal"), [0; 32]).unwrap();
    let error = refused(&second, OpenAs::Serve);
    let OpenError::Sqlite(SqliteOpenError::LogElsewhere { other, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*other, folder.path());
}

#[test]
fn deleting_the_files_beside_the_database_does_not_release_the_lock() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    for file in folder.files() {
        if file != "hallpass.db" {
            fs::remove_file(folder.dir.path().join(file)).unwrap();
        }
    }
    let error = refused(&folder.path(), OpenAs::Serve);
    assert!(matches!(error, OpenError::AlreadyServed { .. }), "{error}");
    drop(db);
}

#[test]
fn a_replaced_file_is_noticed() {
    let folder = Folder::new();
    let lock = {
        drop(folder.open(OpenAs::Serve));
        DatabaseLock::acquire(
            &SqliteOptions::new(folder.path()),
            &folder.options(OpenAs::Serve),
        )
        .unwrap()
    };
    lock.check_path();
    let aside = folder.dir.path().join("aside");
    fs::rename(folder.path(), &aside).unwrap();
    let ends = || std::panic::catch_unwind(|| lock.check_path()).is_err();
    assert!(ends());
    fs::copy(&aside, folder.path()).unwrap();
    assert!(ends());
    fs::rename(&aside, folder.path()).unwrap();
    lock.check_path();
}

#[test]
fn no_other_process_may_have_the_file_open_while_the_log_is_recovered() {
    let folder = Folder::new();
    drop(folder.open(OpenAs::Serve));
    let stranger = rusqlite::Connection::open(folder.path()).unwrap();
    let look = || stranger.query_row("SELECT count(*) FROM users", (), |_| Ok(()));
    look().unwrap();
    let mut options = folder.options(OpenAs::Serve);
    options.busy_timeout = Duration::from_millis(20);
    let error = Db::open(&options).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error}");
    drop(stranger);
    drop(Db::open(&options).unwrap());
}

#[test]
fn the_process_is_read_from_the_line_with_the_inode() {
    let line = "2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF";
    assert_eq!(flock_process(line, 131), Some(4711));
    for other in [
        line.replace("FLOCK", "POSIX"),
        line.replace(":131", ":1131"),
        line.replace("2: ", "2: -> "),
        line.replace("4711", "0"),
        line.replace(" fd:01:131 0 EOF", ""),
    ] {
        assert_eq!(flock_process(&other, 131), None, "{other}");
    }
}
