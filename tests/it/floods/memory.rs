//! The memory of a process according to the kernel.

use std::fs;

/// A value of `/proc/PID/status` in KiB, such as `VmHWM`, the peak of the resident memory.
pub(super) fn kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
