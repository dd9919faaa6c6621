//! Nothing that was acknowledged is lost, whatever happens to the process, the disk, the clock or the file.
//!
//! Against the real binary, since what is promised is what it does with the kernel: `kill` ends it at random
//! moments, `power_cut` rebuilds what a disk may hold after a power cut, `disk_faults`, `full_disk`, `lock`
//! and `clock` make its surroundings fail while it runs, `flips` changes bytes of its file, `last_use` is the
//! one thing that a crash may lose. Each proof has a
//! control that must fail, or it would not be known to see.
//!
//! `DURABILITY=full` runs the long form of those that have one.

mod bytes;
mod client;
mod clock;
mod disk_faults;
mod disk_model;
mod flips;
mod full_disk;
mod kill;
mod last_use;
mod lock;
mod power_cut;
mod recorder;
mod recording;
mod recovered;
mod run;
mod server;
mod tracked_server;

use std::path::Path;

use tempfile::TempDir;

/// Whether the long form was asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the program"
)]
fn full() -> bool {
    std::env::var_os("DURABILITY").is_some_and(|form| form == "full")
}

/// What was measured, for the one who reads the test's output.
#[expect(clippy::print_stderr, reason = "the numbers are part of the result")]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}

/// A folder in memory, where there is one: for what is not about how long a disk takes.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.unwrap()
}
