//! A full disk, and one that is read-only at the start: real file systems in memory.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use hallpass::cli::exit_code::ExitCode;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    report,
    server::{Server, database, expect, hallpass, serve},
    tracked_server::{TrackedServer, UNAVAILABLE},
};
use crate::migrations::fixture::Fixture;

/// A mounted file system.
pub(super) struct Disk {
    folder: TempDir,
}

impl Disk {
    pub(super) fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        mount(
            &["-t", "tmpfs", "-o", &options, "hallpass-test"],
            folder.path(),
        );
        Self { folder }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The names of the files.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    fn remount(&self, mode: &str) {
        mount(&["-o", &format!("remount,bind,{mode}")], self.path());
    }

    /// Uses up all free space.
    pub(super) fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        for size in [4_096, 64, 1] {
            let error = loop {
                if let Err(error) = filler.write_all(&vec![1; size]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(self.path())
                .status(),
        );
    }
}

fn mount(args: &[&str], folder: &Path) {
    let status = Command::new("mount")
        .args(args)
        .arg(folder)
        .status()
        .unwrap();
    assert!(status.success(), "mounting needs root");
}

/// The status and text of `/readyz`.
pub(super) fn ready(server: &Server) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let request = "GET /readyz HTTP/1.1\r\nHost: hallpass\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, text) = reply.split_once("\r\n\r\n").unwrap();
    (status, text.to_owned())
}

fn is_ready(server: &Server) -> bool {
    ready(server) == (200, "ready".to_owned())
}

/// Creates tokens until the disk is full and returns how many; the log has some free space of its own.
fn create_until_full(tracked: &mut TrackedServer) -> u32 {
    let mut created = 0;
    let outcome = loop {
        match tracked.create() {
            Ok(()) => created += 1,
            Err(outcome) => break outcome,
        }
    };
    assert_eq!(outcome, UNAVAILABLE);
    created
}

/// Waits until tokens can be created again.
pub(super) fn wait_for_room(tracked: &mut TrackedServer) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while tracked.create().is_err() {
        assert!(Instant::now() < deadline, "it recovers without a restart");
    }
}

/// Starts a server with enough tokens to revoke.
fn start(disk: &Disk) -> TrackedServer {
    let mut tracked = TrackedServer::start(serve(disk.path()));
    for _ in 0..60 {
        tracked.create().unwrap();
    }
    tracked
}

/// Asserts that only revocations are written, and that `/readyz` says so.
fn expect_revocations_alone(tracked: &mut TrackedServer) {
    for _ in 0..10 {
        let live = tracked.some_live();
        tracked.delete(live).expect("revocations have room");
        assert_eq!(tracked.create(), Err(UNAVAILABLE.to_owned()));
        tracked.look(false);
    }
    let (status, text) = ready(&tracked.server);
    assert_eq!(status, 200, "tokens can still be checked: {text}");
    assert!(text.contains("the disk is full"), "{text}");
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn full_disk_still_allows_revocations_and_checks_and_free_space_is_enough_to_recover() {
    let disk = Disk::mount("24m");
    let mut tracked = start(&disk);
    let mut accepted = 0;
    for _ in 0..2 {
        assert!(is_ready(&tracked.server));
        let filler = disk.fill();
        accepted += create_until_full(&mut tracked);
        expect_revocations_alone(&mut tracked);
        fs::remove_file(filler).unwrap();
        wait_for_room(&mut tracked);
        tracked.look(false);
    }
    report(&format!(
        "full disk: {accepted} creates fit the log, then only revocations"
    ));
    tracked.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn first_revocation_on_a_full_disk_is_written() {
    let disk = Disk::mount("24m");
    let mut tracked = start(&disk);
    let filler = disk.fill();
    let mut revoked = 0;
    while is_ready(&tracked.server) {
        let live = tracked.some_live();
        tracked.delete(live).expect("revocations have room");
        revoked += 1;
    }
    assert!(revoked < 60, "the disk was not full");
    expect_revocations_alone(&mut tracked);
    fs::remove_file(filler).unwrap();
    wait_for_room(&mut tracked);
    tracked.finish(disk.path());
}

/// The control: without the reserve there is no space for a revocation either.
#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn full_disk_without_the_reserve_writes_nothing_and_loses_nothing() {
    let disk = Disk::mount("24m");
    let mut tracked = start(&disk);
    fs::remove_file(disk.path().join("hallpass.db-reserve")).unwrap();
    let filler = disk.fill();
    create_until_full(&mut tracked);
    let live = tracked.some_live();
    assert_eq!(tracked.delete(live), Err(UNAVAILABLE.to_owned()));
    tracked.look(false);
    fs::remove_file(filler).unwrap();
    wait_for_room(&mut tracked);
    tracked.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn revocations_on_a_full_disk_survive_kill_9_and_continue_after_it() {
    let disk = Disk::mount("24m");
    let mut tracked = start(&disk);
    let filler = disk.fill();
    // Killed before the reserve was used, then after it.
    for _ in 0..2 {
        tracked.server.kill();
        tracked.server = Server::start(disk.path());
        tracked.look(false);
        create_until_full(&mut tracked);
        expect_revocations_alone(&mut tracked);
    }
    fs::remove_file(filler).unwrap();
    wait_for_room(&mut tracked);
    assert!(is_ready(&tracked.server));
    tracked.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn first_start_on_a_full_disk_is_refused_with_an_explanation() {
    let disk = Disk::mount("24m");
    let filler = disk.fill();
    let refused = Server::spawn(serve(disk.path()))
        .err()
        .expect("the disk is full");
    expect(&refused, ExitCode::CannotOpen);
    fs::remove_file(filler).unwrap();
    TrackedServer::start(serve(disk.path())).finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn start_on_a_read_only_disk_is_refused_with_its_code() {
    let disk = Disk::mount("24m");
    TrackedServer::start(serve(disk.path())).finish(disk.path());
    disk.remount("ro");
    let refused = Server::spawn(serve(disk.path()))
        .err()
        .expect("nothing can be written");
    expect(&refused, ExitCode::NotWritable);
    disk.remount("rw");
    drop(Server::start(disk.path()));
}

/// Backs the database on `disk` up to `folder`.
fn back_up(disk: &Disk, folder: &Path) -> Output {
    let mut command = hallpass(disk.path(), &["backup", "--verify"]);
    command.arg(folder.join("backup.db")).output().unwrap()
}

/// A disk of `size` with a server whose database has 8 MiB.
fn start_with_8_mib(size: &str) -> (Disk, TrackedServer) {
    let disk = Disk::mount(size);
    Server::start(disk.path()).stop();
    let sql = Connection::open(database(disk.path())).unwrap();
    let fill = "INSERT INTO meta VALUES ('filler', randomblob(8 << 20))";
    sql.execute_batch(fill).unwrap();
    drop(sql);
    let tracked = TrackedServer::start(serve(disk.path()));
    (disk, tracked)
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn backup_without_room_for_the_copy_is_refused_before_it_begins_and_the_server_goes_on() {
    let (disk, mut tracked) = start_with_8_mib("32m");
    let target = tempfile::tempdir().unwrap();
    let refused = back_up(&disk, target.path());
    let problem = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{problem}");
    assert!(
        problem.contains("no room for a copy of the database"),
        "{problem}"
    );
    assert!(problem.contains("MiB free"), "{problem}");
    assert!(is_ready(&tracked.server));
    assert!(!disk.names().iter().any(|name| name.contains("-backup")));
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    tracked.create().unwrap();
    tracked.finish(disk.path());
    // The control: there is room.
    let (disk, tracked) = start_with_8_mib("64m");
    let done = back_up(&disk, target.path());
    assert!(done.status.success(), "{done:?}");
    tracked.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn disk_that_fills_up_while_a_copy_is_made_ends_the_backup_and_not_the_server() {
    let (disk, mut tracked) = start_with_8_mib("48m");
    let copy = disk.path().join("hallpass.db-backup");
    let mut ended = 0;
    for _ in 0..10 {
        let target = tempfile::tempdir().unwrap();
        let (output, filler) = thread::scope(|scope| {
            let backing_up = scope.spawn(|| back_up(&disk, target.path()));
            while !copy.exists() && !backing_up.is_finished() {
                thread::yield_now();
            }
            let filler = disk.fill();
            (backing_up.join().unwrap(), filler)
        });
        assert!(!copy.exists());
        if !output.status.success() {
            let problem = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(problem.contains("the disk of the server"), "{problem}");
            assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
            ended += 1;
        }
        // What the copy had taken is there for revocations, as is the reserve.
        let live = tracked.some_live();
        tracked.delete(live).expect("revocations have room");
        fs::remove_file(filler).unwrap();
        wait_for_room(&mut tracked);
        tracked.look(false);
    }
    report(&format!(
        "full disk: {ended} of 10 backups were ended by it"
    ));
    assert!(ended > 0, "the disk was never full in time");
    tracked.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn full_disk_of_the_command_leaves_no_backup() {
    let (disk, tracked) = start_with_8_mib("64m");
    let target = Disk::mount("4m");
    let refused = back_up(&disk, target.path());
    let problem = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{problem}");
    assert!(
        problem.contains("cannot write") && problem.contains("No space left"),
        "{problem}"
    );
    assert_eq!(target.names(), [""; 0]);
    tracked.finish(disk.path());
}

/// The disk is full in the middle of a migration, or read-only: the database stays as it is, and room is enough to go on.
#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn migration_without_room_changes_nothing_and_goes_on_with_room() {
    let disk = Disk::mount("24m");
    let fixture = &Fixture::all()[0];
    fixture.restore_to(disk.path());
    let path = disk.path().join("hallpass.db");
    let before = fs::read(&path).unwrap();
    // Room for some of the log's pages, and none at all.
    for room in [100_000, 0] {
        let filler = disk.fill();
        let size = fs::metadata(&filler).unwrap().len();
        let file = fs::File::options().write(true).open(&filler).unwrap();
        file.set_len(size - room).unwrap();
        for command in [&["migrate"][..], &["serve", "--listen=127.0.0.1:0"]] {
            let output = hallpass(disk.path(), command).output().unwrap();
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(10), "{log}");
            assert!(fs::read(&path).unwrap() == before, "{log}");
            assert_eq!(
                disk.names(),
                ["filler", "hallpass.db"].map(str::to_owned),
                "{log}"
            );
            if room > 0 {
                let expected =
                    "could not be migrated from schema 1 to 12, and is as it was before: ";
                assert!(
                    log.contains(expected) && log.contains("free as much space"),
                    "{log}"
                );
            }
        }
        fs::remove_file(filler).unwrap();
    }
    disk.remount("ro");
    let output = hallpass(disk.path(), &["migrate"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    disk.remount("rw");
    assert!(fs::read(&path).unwrap() == before);
    let output = hallpass(disk.path(), &["migrate"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
