//! Nothing acknowledged is lost, whatever happens to the process, the disk, the clock or the file.
//!
//! The tests run the real binary, since the promise depends on its system calls: `kill` kills it at random
//! times, `power_cut` reconstructs what a disk may hold after a power cut, `disk_faults`, `full_disk`, `lock`
//! and `clock` make its environment fail while it runs, `backups` are taken meanwhile, `first_start` kills it while it
//! creates its first users, and `flips` changes bytes of its file. Last uses are the one thing that a crash may lose. Each
//! test has a control that must fail, so that the test is known to be able to detect a loss.
//!
//! `DURABILITY=full` runs the long versions.

mod backups;
mod client;
mod clock;
mod disk_faults;
mod disk_model;
mod first_start;
mod flips;
mod full_disk;
mod full_disk_of_sink;
mod kill;
mod lock;
mod migration;
mod power_cut;
mod recorder;
mod recording;
mod recovered;
mod restores;
mod run;
mod server;
mod tracked_server;

use std::path::Path;

use tempfile::TempDir;

#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the program"
)]
fn full() -> bool {
    std::env::var_os("DURABILITY").is_some_and(|form| form == "full")
}

/// Prints measurements in the test's output.
#[expect(clippy::print_stderr, reason = "the numbers are part of the result")]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}

/// A folder in memory if possible, for tests that do not depend on the disk's speed.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.unwrap()
}
