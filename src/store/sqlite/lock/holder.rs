//! Finds out which process holds a lock.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
};

use crate::store::open::LockHolder;

/// The process that holds the lock on `file`. The match is by inode alone: the device that the kernel prints is not
/// always the one that `stat` returns.
pub(super) fn of(file: &File) -> LockHolder {
    let find = || {
        let inode = file.metadata().ok()?.ino();
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let process = locks.lines().find_map(|line| process(line, inode))?;
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        Some((process, name.trim_end().to_owned()))
    };
    LockHolder(find())
}

/// Parses a line such as `2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF`.
fn process(line: &str, inode: u64) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let is_flock = fields.next() == Some("FLOCK");
    let process = fields.nth(2)?.parse().ok()?;
    let found = fields.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
    // A process in another PID namespace is shown as 0.
    (is_flock && found == inode && process > 0).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_read_from_the_line_with_the_inode() {
        let line = "2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF";
        assert_eq!(process(line, 131), Some(4711));
        for other in [
            line.replace("FLOCK", "POSIX"),
            line.replace(":131", ":1131"),
            line.replace("2: ", "2: -> "),
            line.replace("4711", "0"),
            line.replace(" fd:01:131 0 EOF", ""),
        ] {
            assert_eq!(process(&other, 131), None, "{other}");
        }
    }
}
