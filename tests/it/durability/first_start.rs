//! The first start with a bootstrap token is killed after each call that changes a file. The next start leaves one token,
//! which the file and the database agree on.

use std::{fs, os::unix::process::ExitStatusExt as _, path::Path, process::Command};

use hallpass::cli::exit_code::ExitCode;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    client::Client,
    full, in_memory,
    recorder::{Knob, Recorder},
    report,
    server::{Server, database, expect, serve},
};

/// What a killed start left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    NoFile,
    EmptyFile,
    FileAlone,
    FileAndToken,
}

fn with_token(mut command: Command, folder: &Path) -> Command {
    command
        .arg("--bootstrap-token-file")
        .arg(folder.join("token"));
    command
}

fn token_in(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("token")).ok()?;
    Some(text.trim_end().to_owned())
}

/// A folder with an empty database, whose schema is complete.
fn empty_database() -> TempDir {
    let folder = in_memory();
    let mut command = serve(folder.path());
    command.env("HALLPASS_ADMIN_PASSWORD", "short");
    let refused = Server::spawn(command).err().expect("no user is created");
    expect(&refused, ExitCode::Failed);
    folder
}

fn copy(from: &Path) -> TempDir {
    let copy = in_memory();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn rows(folder: &Path, of: &str) -> i64 {
    let sql = Connection::open(database(folder)).unwrap();
    sql.query_one(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0))
        .unwrap()
}

/// Starts again, and asserts that there is one token, the one in the file. Returns what was left before.
fn recover(folder: &Path) -> Left {
    let before = token_in(folder);
    let server = Server::spawn(with_token(serve(folder), folder)).unwrap_or_else(|refused| {
        panic!("{:?} left: {}", before.is_some(), refused.log);
    });
    let token = token_in(folder).expect("there is a file");
    let mut client = Client::connect(server.address).unwrap();
    assert_eq!(client.check(&token).unwrap().outcome(), "ok");
    assert_eq!((rows(folder, "tokens"), rows(folder, "users")), (1, 2));
    let log = server.log();
    assert!(!log.contains(&token), "{log}");
    let is_created = log.contains("created the machine bootstrap");
    server.stop();
    match before.as_deref() {
        None => Left::NoFile,
        Some("") => Left::EmptyFile,
        Some(kept) => {
            assert_eq!(kept, token);
            if is_created {
                Left::FileAlone
            } else {
                Left::FileAndToken
            }
        }
    }
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn first_start_killed_at_any_step_leaves_one_token_that_file_and_database_agree_on() {
    // The full form kills while the database is created, too.
    let base = if full() {
        in_memory()
    } else {
        empty_database()
    };
    let mut seen = Vec::new();
    for calls in 1.. {
        let folder = copy(base.path());
        let recorder = Recorder::new(None);
        recorder.set(Knob::KillAfter, calls);
        let command = with_token(recorder.serve(folder.path()), folder.path());
        match Server::spawn(command) {
            Ok(server) => {
                drop(server);
                assert_eq!(recover(folder.path()), Left::FileAndToken);
                break;
            }
            Err(killed) => assert_eq!(killed.status.signal(), Some(9), "{}", killed.log),
        }
        seen.push(recover(folder.path()));
    }
    report(&format!(
        "first start killed after each of {} calls",
        seen.len()
    ));
    // The control: the kills met every state.
    for state in [
        Left::NoFile,
        Left::EmptyFile,
        Left::FileAlone,
        Left::FileAndToken,
    ] {
        assert!(seen.contains(&state), "{state:?} was not met: {seen:?}");
    }
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn file_that_cannot_be_written_leaves_no_user_and_no_half_of_a_token() {
    for knob in [Knob::Write, Knob::Sync] {
        let base = empty_database();
        let recorder = Recorder::new(None);
        let elsewhere = in_memory();
        let mut command = recorder.serve(base.path());
        // Only the folder of the token fails, as another file system may.
        command.env(
            "RECORDER_FOLDER",
            fs::canonicalize(elsewhere.path()).unwrap(),
        );
        let command = with_token(command, elsewhere.path());
        recorder.set(knob, 28);
        let refused = Server::spawn(command).err().expect("there is no room");
        expect(&refused, ExitCode::Failed);
        assert!(
            refused.log.contains("cannot leave the bootstrap token in"),
            "{}",
            refused.log
        );
        assert!(recorder.get(Knob::FailedCalls) > 0);
        // Under a write error the file cannot be deleted either, and is empty.
        let left = token_in(elsewhere.path());
        assert_eq!(left.as_deref(), (knob as u64 == 0).then_some(""));
        assert_eq!(
            (rows(base.path(), "tokens"), rows(base.path(), "users")),
            (0, 0)
        );
        let command = with_token(serve(base.path()), elsewhere.path());
        let server = Server::spawn(command).expect("there is room again");
        let token = token_in(elsewhere.path()).unwrap();
        let mut client = Client::connect(server.address).unwrap();
        assert_eq!(client.check(&token).unwrap().outcome(), "ok");
    }
}
