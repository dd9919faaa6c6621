//! What the system says of a process's memory.

use std::fs;

/// A line of `/proc/PID/status` in KiB, such as `VmHWM`: the most that was ever resident.
pub(super) fn kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
