//! Each refusal, and that the refused file is left untouched.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
};

use rusqlite::Connection;
use rustix::{process, thread::set_thread_res_uid};

use super::super::file::beside;
use crate::store::{
    Db, EngineOptions, OpenAs, OpenError, SqliteOpenError, SqliteOptions, StoreOptions,
    tests::samples::Folder,
};

fn refusal(folder: &Folder, open_as: OpenAs) -> OpenError {
    Db::open(&folder.options(open_as)).unwrap_err()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let folder = Folder::new();
    drop(folder.open(OpenAs::Serve));
    let connection = Connection::open(folder.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    let (before, files) = (fs::read(folder.path()).unwrap(), folder.files());
    for open_as in [OpenAs::Serve, OpenAs::Embedded] {
        let error = refusal(&folder, open_as);
        assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }));
        assert_eq!(fs::read(folder.path()).unwrap(), before);
        assert_eq!(folder.files(), files);
    }
}

#[test]
fn a_newer_schema_that_is_only_in_the_log_is_refused_untouched() {
    let folder = Folder::new();
    drop(folder.open(OpenAs::Serve));
    let newer = Connection::open(folder.path()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    // The state after a crash: the database and its log, opened by nobody.
    let crashed = Folder::new();
    for suffix in ["", "-wal"] {
        let to = beside(&crashed.path(), suffix);
        fs::copy(beside(&folder.path(), suffix), to).unwrap();
    }
    let contents = |suffix| fs::read(beside(&crashed.path(), suffix)).unwrap();
    let before = (contents(""), contents("-wal"));
    for open_as in [OpenAs::Serve, OpenAs::Embedded] {
        let error = refusal(&crashed, open_as);
        assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }));
        assert!((contents(""), contents("-wal")) == before);
    }
}

#[test]
fn a_command_creates_nothing_where_only_the_server_may() {
    let folder = Folder::new();
    let error = refusal(&folder, OpenAs::Embedded);
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(folder.files().is_empty());
    fs::write(folder.path(), b"").unwrap();
    chmod(&folder.path(), 0o600);
    let error = refusal(&folder, OpenAs::Embedded);
    assert!(
        matches!(error, OpenError::OlderSchema { found: 0, .. }),
        "{error}"
    );
    drop(folder.open(OpenAs::Serve));
    drop(folder.open(OpenAs::Embedded));
}

#[test]
fn an_interrupted_first_start_is_completed() {
    let folder = Folder::new();
    let connection = Connection::open(folder.path()).unwrap();
    connection
        .pragma_update(None, "journal_mode", "wal")
        .unwrap();
    connection.close().unwrap();
    chmod(&folder.path(), 0o600);
    drop(folder.open(OpenAs::Serve));
    drop(folder.open(OpenAs::Embedded));
}

#[test]
fn created_files_are_readable_by_their_owner_only() {
    let folder = Folder::new();
    let _db = folder.open(OpenAs::Serve);
    let files = folder.files();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&folder.dir.path().join(&file)), 0o600, "{file}");
    }
}

#[test]
fn files_that_others_may_read_are_refused_unless_allowed() {
    for (suffix, bits) in [("", 0o640), ("", 0o602), ("-wal", 0o644), ("-shm", 0o604)] {
        let folder = Folder::new();
        drop(folder.open(OpenAs::Serve));
        let file = beside(&folder.path(), suffix);
        // The state after a crash.
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .unwrap();
        chmod(&file, bits);
        match refusal(&folder, OpenAs::Embedded) {
            OpenError::Sqlite(SqliteOpenError::OpenPermissions { path, mode }) => {
                let name = path.file_name().unwrap();
                assert_eq!((name, mode), (file.file_name().unwrap(), bits));
            }
            other => panic!("{other}"),
        }
        let sqlite = SqliteOptions {
            allow_open_permissions: true,
            ..SqliteOptions::new(folder.path())
        };
        let options = StoreOptions {
            engine: EngineOptions::Sqlite(sqlite),
            ..folder.options(OpenAs::Embedded)
        };
        drop(Db::open(&options).unwrap());
    }
}

#[test]
fn a_file_that_is_not_a_hallpass_database_is_refused_untouched() {
    let folder = Folder::new();
    let noise = "Not a database. ".repeat(100);
    for text in ["short", &noise] {
        fs::write(folder.path(), text).unwrap();
        chmod(&folder.path(), 0o600);
        let error = refusal(&folder, OpenAs::Serve);
        assert!(
            matches!(
                error,
                OpenError::Sqlite(SqliteOpenError::NotADatabase { .. })
            ),
            "{error}"
        );
        assert_eq!(fs::read(folder.path()).unwrap(), text.as_bytes());
    }
    fs::remove_file(folder.path()).unwrap();
    let others = Connection::open(folder.path()).unwrap();
    others.execute_batch("CREATE TABLE t (a)").unwrap();
    others.close().unwrap();
    chmod(&folder.path(), 0o600);
    let before = fs::read(folder.path()).unwrap();
    let error = refusal(&folder, OpenAs::Serve);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(folder.path()).unwrap(), before);
}

/// Root may write anywhere, so the test drops that privilege for one thread.
fn as_nobody<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let nobody = process::Uid::from_raw(65_534);
    thread::scope(|scope| {
        let run = || {
            if process::geteuid().is_root() {
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            test()
        };
        scope.spawn(run).join().unwrap()
    })
}

#[test]
fn missing_or_read_only_folders_are_refused() {
    let folder = Folder::new();
    chmod(folder.dir.path(), 0o555);
    let error = as_nobody(|| refusal(&folder, OpenAs::Serve));
    assert!(
        matches!(
            error,
            OpenError::Sqlite(SqliteOpenError::FolderNotWritable { .. })
        ),
        "{error}"
    );
    chmod(folder.dir.path(), 0o755);
    let path = folder.dir.path().join("none/hallpass.db");
    let error = Db::open(&Folder::options_of(path, OpenAs::Serve)).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Sqlite(SqliteOpenError::FolderMissing { .. })
        ),
        "{error}"
    );
}

/// A start on a file whose first page was torn by a power failure. The journal says that the file was empty.
#[test]
fn a_torn_first_write_is_undone() {
    let folder = Folder::new();
    let mut journal = vec![0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7];
    let (records, nonce, pages, sector, page) = (0_u32, 1_u32, 0_u32, 512_u32, 4096_u32);
    for number in [records, nonce, pages, sector, page] {
        journal.extend(number.to_be_bytes());
    }
    journal.resize(512, 0);
    fs::write(beside(&folder.path(), "-journal"), journal).unwrap();
    fs::write(folder.path(), [0; 4096]).unwrap();
    chmod(&folder.path(), 0o600);
    drop(folder.open(OpenAs::Serve));
    assert!(!beside(&folder.path(), "-journal").exists());
}

#[test]
fn a_damaged_schema_is_not_served_but_can_be_checked() {
    let folder = Folder::new();
    drop(folder.open(OpenAs::Serve));
    let connection = Connection::open(folder.path()).unwrap();
    let damage = "PRAGMA writable_schema = ON; UPDATE sqlite_schema \
                  SET sql = replace(sql, 'update_time', 'update_tife') WHERE name = 'users'";
    connection.execute_batch(damage).unwrap();
    connection.close().unwrap();
    let error = refusal(&folder, OpenAs::Serve);
    assert!(
        matches!(error, OpenError::AlteredSchema { .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("(the schema's table users differs)"),
        "{error}"
    );
    drop(folder.open(OpenAs::Embedded));
}
