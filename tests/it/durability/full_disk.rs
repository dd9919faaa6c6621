//! A disk without room, and one that is read-only at the start: real ones, in memory.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hallpass::cli::exit_code::ExitCode;
use tempfile::TempDir;

use super::{
    report,
    server::{Server, expect, serve},
    tracked_server::{TrackedServer, UNAVAILABLE},
};

/// A file system of its own.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        mount(
            &["-t", "tmpfs", "-o", &options, "hallpass-test"],
            folder.path(),
        );
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn remount(&self, mode: &str) {
        mount(&["-o", &format!("remount,bind,{mode}")], self.path());
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
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

/// `/readyz`: its status and text.
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

/// Creates tokens until the disk is full; how many. The log has room left in itself.
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

/// Creates tokens again as soon as there is room.
pub(super) fn wait_for_room(tracked: &mut TrackedServer) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while tracked.create().is_err() {
        assert!(Instant::now() < deadline, "it recovers without a restart");
    }
}

/// With enough tokens to revoke.
fn start(disk: &Disk) -> TrackedServer {
    let mut tracked = TrackedServer::start(serve(disk.path()));
    for _ in 0..60 {
        tracked.create().unwrap();
    }
    tracked
}

/// Only revocations are written, and `/readyz` says so.
fn expect_revocations_alone(tracked: &mut TrackedServer) {
    for _ in 0..10 {
        let live = tracked.some_live();
        tracked.delete(live).expect("revocations have room");
        assert_eq!(tracked.create(), Err(UNAVAILABLE.to_owned()));
        tracked.look(false);
    }
    let (status, text) = ready(&tracked.server);
    assert_eq!(status, 200, "tokens are checked here: {text}");
    assert!(text.contains("the disk is full"), "{text}");
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn on_a_full_disk_tokens_are_revoked_and_checked_and_room_is_enough_to_recover() {
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
        "full disk: {accepted} creates found room in the log, then revocations alone"
    ));
    tracked.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn revocation_that_meets_the_full_disk_first_is_written() {
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

/// A control: without the reserve there is no room for a revocation either.
#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn on_a_full_disk_without_the_reserve_nothing_is_written_and_nothing_lost() {
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
fn revocations_on_a_full_disk_survive_a_kill_and_go_on_after_it() {
    let disk = Disk::mount("24m");
    let mut tracked = start(&disk);
    let filler = disk.fill();
    // Killed before the reserve was needed, then after it.
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
fn first_start_on_a_full_disk_is_refused_in_words() {
    let disk = Disk::mount("24m");
    let filler = disk.fill();
    let refused = Server::spawn(serve(disk.path()))
        .err()
        .expect("there is no room");
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
