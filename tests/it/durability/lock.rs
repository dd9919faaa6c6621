//! Another process locks the database for longer than any request may take, or wants to own it, too; or the
//! file at the path is replaced.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use hallpass::cli::exit_code::ExitCode;
use rusqlite::Connection;

use super::{
    report,
    server::{Server, database, expect, serve},
    tracked_server::{TrackedServer, UNAVAILABLE},
};

const LOCK_HELD_FOR: Duration = Duration::from_secs(12);
/// A check that waited for the lock would take longer.
const MAX_CHECK_TIME: Duration = Duration::from_secs(4);
/// The server's deadline for a request.
const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn foreign_lock_blocks_only_writes_and_its_release_is_enough_to_recover() {
    let folder = tempfile::tempdir().unwrap();
    let mut tracked = TrackedServer::start(serve(folder.path()));
    let other = Connection::open(database(folder.path())).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    let released = AtomicBool::new(false);
    let write = |wait: Duration| {
        // Staggered, so that some arrive while the writer already waits for the lock.
        thread::sleep(wait);
        let mut client = tracked.client();
        let mut outcomes = Vec::new();
        while !released.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let outcome = client.create(&tracked.admin, "locked").unwrap().outcome();
            outcomes.push((outcome, asked.elapsed()));
        }
        outcomes
    };
    let mut outcomes = Vec::new();
    let (mut checks, mut slowest) = (0, Duration::ZERO);
    thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> = [0, 50, 3_000, 5_500]
            .map(|wait| scope.spawn(move || write(Duration::from_millis(wait))))
            .into();
        let mut client = tracked.client();
        while begun.elapsed() < LOCK_HELD_FOR {
            let asked = Instant::now();
            assert_eq!(client.check(&tracked.admin).unwrap().outcome(), "ok");
            slowest = slowest.max(asked.elapsed());
            checks += 1;
        }
        released.store(true, Ordering::Relaxed);
        other.execute_batch("ROLLBACK").unwrap();
        outcomes.extend(
            writers
                .into_iter()
                .flat_map(|writer| writer.join().unwrap()),
        );
    });
    let refused = outcomes
        .iter()
        .filter(|(outcome, _)| outcome == UNAVAILABLE)
        .count();
    report(&format!(
        "outside lock: {checks} checks, slowest {slowest:?}; writes: {outcomes:?}"
    ));
    assert!(refused > 0);
    assert!(slowest < MAX_CHECK_TIME, "{slowest:?}");
    for (outcome, took) in &outcomes {
        // Writes that still waited when the lock was released succeed.
        assert!(
            outcome == UNAVAILABLE || outcome == "ok",
            "{outcome} after {took:?}"
        );
        assert!(*took < DEADLINE, "{outcome} after {took:?}");
    }
    tracked.look(false);
    tracked.create().expect("it recovers without a restart");
    // Nobody else may have the file open at a start.
    drop(other);
    tracked.finish(folder.path());
}

#[test]
fn second_server_waits_and_is_told_who_holds_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let tracked = TrackedServer::start(serve(folder.path()));
    let begun = Instant::now();
    let refused = Server::spawn(serve(folder.path()))
        .err()
        .expect("the database is owned");
    assert!(begun.elapsed() >= Duration::from_secs(10));
    expect(&refused, ExitCode::AlreadyServed);
    let by = format!("process {} (hallpass)", tracked.server.id());
    assert!(refused.log.contains(&by), "{}", refused.log);
    thread::scope(|scope| {
        let waits = scope.spawn(|| Server::spawn(serve(folder.path())));
        tracked.server.stop();
        waits
            .join()
            .unwrap()
            .expect("it starts after the first has stopped")
            .stop();
    });
}

#[test]
fn server_exits_once_its_file_is_moved_replaced_or_deleted() {
    let replace = |database: &Path| {
        let copy = database.with_extension("copy");
        fs::copy(database, &copy).unwrap();
        fs::rename(copy, database).unwrap();
    };
    let away = |database: &Path| fs::rename(database, database.with_extension("away")).unwrap();
    let delete = |database: &Path| fs::remove_file(database).unwrap();
    let changes: [&dyn Fn(&Path); 3] = [&replace, &away, &delete];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let tracked = TrackedServer::start(serve(folder.path()));
        let begun = Instant::now();
        change(&database(folder.path()));
        let ended = tracked.server.ended();
        assert!(begun.elapsed() < Duration::from_secs(5));
        expect(&ended, ExitCode::Moved);
        assert_eq!(ended.log.matches("moved, replaced or deleted").count(), 1);
    }
}
