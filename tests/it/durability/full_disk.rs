//! A disk without room, and one that is read-only at the start: real ones, in memory.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use hallpass::cli::exit_code::ExitCode;
use tempfile::TempDir;

use super::{
    report,
    server::{Refused, Server, serve},
    standing::{Standing, UNAVAILABLE},
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

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn full_disk_is_unavailable_for_writes_checks_go_on_and_room_is_enough_to_recover() {
    let disk = Disk::mount("6m");
    let mut standing = Standing::start(serve(disk.path()));
    let mut accepted = 0;
    for _ in 0..2 {
        let filler = disk.fill();
        // The log has room left in itself.
        let outcome = loop {
            match standing.create() {
                Ok(()) => accepted += 1,
                Err(outcome) => break outcome,
            }
        };
        assert_eq!(outcome, UNAVAILABLE);
        for _ in 0..10 {
            let live = standing.some_live();
            assert_eq!(standing.delete(live), Err(UNAVAILABLE.to_owned()));
            assert_eq!(standing.create(), Err(UNAVAILABLE.to_owned()));
            standing.look(false);
        }
        fs::remove_file(filler).unwrap();
        standing.create().expect("it recovers without a restart");
        standing.look(false);
    }
    report(&format!(
        "full disk: {accepted} writes found room in the log, then all were unavailable"
    ));
    standing.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn start_on_a_full_disk_is_refused_in_words_and_loses_nothing() {
    let disk = Disk::mount("6m");
    let filler = disk.fill();
    let refused = Server::spawn(serve(disk.path()))
        .err()
        .expect("there is no room");
    expect(&refused, ExitCode::CannotOpen);
    fs::remove_file(filler).unwrap();
    let mut standing = Standing::start(serve(disk.path()));
    standing.server.kill();
    let filler = disk.fill();
    // A database that is there may well be served from a full disk; if not, the code says why.
    match Server::spawn(serve(disk.path())) {
        Ok(server) => drop(server),
        Err(refused) => expect(&refused, ExitCode::CannotOpen),
    }
    fs::remove_file(filler).unwrap();
    standing.server = Server::start(disk.path());
    standing.finish(disk.path());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn start_on_a_read_only_disk_is_refused_with_its_code() {
    let disk = Disk::mount("6m");
    Standing::start(serve(disk.path())).finish(disk.path());
    disk.remount("ro");
    let refused = Server::spawn(serve(disk.path()))
        .err()
        .expect("nothing can be written");
    expect(&refused, ExitCode::NotWritable);
    disk.remount("rw");
    drop(Server::start(disk.path()));
}

fn expect(refused: &Refused, code: ExitCode) {
    let number = i32::from(code.number());
    assert_eq!(refused.status.code(), Some(number), "{}", refused.log);
    assert!(!refused.log.contains("panicked"), "{}", refused.log);
}
