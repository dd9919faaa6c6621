//! Backups beside writes hold all that was acknowledged before they began, and a kill -9 of either side leaves no file
//! that could be taken for one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    client::{Client, id_of},
    full,
    recovered::{Losses, State, compare},
    report,
    server::{PASSWORD, Server, database, hallpass},
};

/// Every writer makes a write each 10 ms, so that together they make 200 a second.
const WRITERS: usize = 2;
const INTERVAL: Duration = Duration::from_millis(10);

/// What is acknowledged, by plaintext.
type Known = Mutex<BTreeMap<String, State>>;

/// Creates and deletes tokens until told to stop, and returns how many writes there were.
fn write(server: &Server, admin: &str, known: &Known, stop: &AtomicBool) -> u32 {
    let mut client = Client::connect(server.address).unwrap();
    let mut live: Vec<String> = Vec::new();
    let (begin, mut writes) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        // A steady rate is wanted here, not an event.
        thread::sleep((INTERVAL * writes).saturating_sub(begin.elapsed()));
        writes += 1;
        if writes % 3 == 0
            && let Some(token) = live.pop()
        {
            let id = id_of(&token);
            known.lock().unwrap().insert(token.clone(), State::Either);
            assert_eq!(client.delete(admin, &id).unwrap().outcome(), "ok");
            known.lock().unwrap().insert(token, State::Deleted);
        } else {
            let token = client.create(admin, "backup").unwrap().text("token");
            known.lock().unwrap().insert(token.clone(), State::Live);
            live.insert(0, token);
        }
    }
    writes
}

/// What a copy may hold that is made from now on: a live token may be deleted before.
fn known_now(known: &Known) -> Vec<(String, State)> {
    let known = known.lock().unwrap().clone().into_iter();
    let may_go = |state| match state {
        State::Live => State::Either,
        state => state,
    };
    known.map(|(token, state)| (token, may_go(state))).collect()
}

/// What the database in `folder` lacks. A torn copy cannot be read at all.
fn losses(folder: &Path, known: &[(String, State)]) -> Losses {
    let known: Vec<_> = known
        .iter()
        .map(|(token, state)| (token.as_str(), *state))
        .collect();
    compare(folder, &known).unwrap_or(Losses {
        lost: known.len(),
        ..Losses::default()
    })
}

#[test]
fn backup_beside_200_writes_a_second_holds_all_that_was_acknowledged_and_cp_does_not() {
    let rounds = if full() { 20 } else { 5 };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut client = Client::connect(server.address).unwrap();
    let admin = client.sign_in(PASSWORD).unwrap().text("token");
    let (known, stop) = (Known::default(), AtomicBool::new(false));
    let (mut copied, mut took, begin) = (Losses::default(), Duration::ZERO, Instant::now());
    let (writes, held) = thread::scope(|scope| {
        let write = || write(&server, &admin, &known, &stop);
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
        let mut held = 0;
        for round in 1..=rounds {
            // In each round there are more.
            while known.lock().unwrap().len() < 60 * round {
                thread::sleep(INTERVAL);
            }
            let of_backup = tempfile::tempdir().unwrap();
            let before = known_now(&known);
            let started = Instant::now();
            let output = back_up(folder.path(), &database(of_backup.path()), &["--verify"]);
            let output = output.wait_with_output().unwrap();
            took = took.max(started.elapsed());
            assert!(output.status.success(), "{output:?}");
            assert_eq!(losses(of_backup.path(), &before), Losses::default());
            held = before.len();
            // The control.
            let of_copy = tempfile::tempdir().unwrap();
            let before = known_now(&known);
            fs::copy(database(folder.path()), database(of_copy.path())).unwrap();
            let Losses {
                lost,
                back,
                deleted,
                unaudited,
            } = losses(of_copy.path(), &before);
            copied.lost += lost;
            copied.back += back;
            copied.deleted += deleted;
            copied.unaudited += unaudited;
        }
        stop.store(true, Ordering::Relaxed);
        let writes = writers.into_iter().map(|writer| writer.join().unwrap());
        (writes.sum::<u32>(), held)
    });
    report(&format!(
        "backups: {rounds} beside {:.0} writes a second, the last with {held} acknowledged tokens, slowest {took:?}; \
         copies of the file alone: {copied:?}",
        f64::from(writes) / begin.elapsed().as_secs_f64()
    ));
    assert!(copied.lost + copied.back > 0, "the control loses rows");
    server.stop();
}

/// Runs `hallpass backup`.
fn back_up(folder: &Path, file: &Path, args: &[&str]) -> Child {
    let mut command = hallpass(folder, &["backup"]);
    let command = command.arg(file).args(args);
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A folder with a database that takes a while to copy and send.
fn large() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Server::start(folder.path()).stop();
    let sql = Connection::open(database(folder.path())).unwrap();
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) \
                INSERT INTO meta SELECT 'filler' || i, randomblob(100000) FROM n";
    sql.execute(fill, []).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// The temporary copy of the server.
fn copy_of(folder: &Path) -> PathBuf {
    folder.join("hallpass.db-backup")
}

/// Whether the client's unfinished file has bytes.
fn is_receiving(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut sizes = entries.map(|entry| entry.metadata().map_or(0, |found| found.len()));
    sizes.any(|size| size > 0)
}

/// Waits for it while the backup runs; false if the backup ended before.
fn reached(child: &mut Child, has: impl Fn() -> bool) -> bool {
    while !has() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::yield_now();
    }
    true
}

fn failed(output: &Output, file: &Path) {
    assert!(!output.status.success(), "{output:?}");
    assert!(!file.exists());
}

#[test]
fn kill_9_of_the_server_leaves_no_backup_and_the_next_start_removes_its_copy() {
    let folder = large();
    let mut cut = (0, 0);
    for round in 0..6 {
        let mut server = Server::start(folder.path());
        assert!(!copy_of(folder.path()).exists());
        let target = tempfile::tempdir().unwrap();
        let file = target.path().join("backup.db");
        let mut child = back_up(folder.path(), &file, &[]);
        let while_copying = round % 2 == 0;
        let has = || {
            if while_copying {
                copy_of(folder.path()).exists()
            } else {
                is_receiving(target.path())
            }
        };
        let in_time = reached(&mut child, has);
        server.kill();
        let output = child.wait_with_output().unwrap();
        if !in_time || output.status.success() {
            continue;
        }
        failed(&output, &file);
        assert_eq!(names(target.path()), [""; 0]);
        if while_copying {
            cut.0 += 1;
        } else {
            cut.1 += 1;
        }
    }
    let server = Server::start(folder.path());
    assert!(!copy_of(folder.path()).exists());
    report(&format!(
        "backups: kill -9 of the server cut {cut:?} while copying and while sending"
    ));
    assert!(cut.0 > 0 && cut.1 > 0, "{cut:?}");
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("backup.db");
    let done = back_up(folder.path(), &file, &["--verify"])
        .wait_with_output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    server.stop();
}

#[test]
fn kill_9_of_the_command_leaves_no_backup_and_the_next_one_removes_the_rest() {
    let folder = large();
    let server = Server::start(folder.path());
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("backup.db");
    let mut cut = 0;
    for _ in 0..4 {
        let mut child = back_up(folder.path(), &file, &[]);
        let in_time = reached(&mut child, || is_receiving(target.path()));
        drop(child.kill());
        let output = child.wait_with_output().unwrap();
        if !in_time || output.status.success() {
            drop(fs::remove_file(&file));
            continue;
        }
        failed(&output, &file);
        // The control: the killed one left its unfinished file.
        assert_eq!(names(target.path()).len(), 1);
        cut += 1;
    }
    assert!(cut > 0, "every backup was too fast");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let done = back_up(folder.path(), &file, &["--verify"])
            .wait_with_output()
            .unwrap();
        if done.status.success() {
            break;
        }
        // The server may not have seen yet that the last one is gone.
        let problem = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(problem.contains("another backup"), "{problem}");
        assert!(Instant::now() < deadline, "{problem}");
    }
    assert_eq!(names(target.path()), ["backup.db"]);
    assert!(!copy_of(folder.path()).exists());
    server.stop();
}
