//! What a hashing thread has of its own: low priority, and work memory that is allocated once, reused for every job
//! and freed as a whole.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::Block;

/// Minimum size of the allocation, of which only the used part becomes resident. glibc always maps an allocation
/// above 32 MiB (`DEFAULT_MMAP_THRESHOLD_MAX`) on its own and unmaps it when it is freed. Below that size it adapts:
/// once 19 MiB were freed, the next 19 MiB come from the thread's heap, which keeps them when they are freed.
const RESERVED_BLOCKS: usize = 33 * 1_024;

/// Work memory in blocks of 1 KiB, counted in `held_bytes` while it is held.
#[derive(Debug)]
pub(super) struct WorkMemory {
    blocks: Vec<Block>,
    held_bytes: Arc<AtomicUsize>,
}

impl WorkMemory {
    pub(super) fn new(held_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            blocks: Vec::new(),
            held_bytes,
        }
    }

    /// The first `count` blocks, which still hold the data of the last job.
    pub(super) fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.blocks.len() < count {
            self.release();
            self.blocks = Vec::with_capacity(count.max(RESERVED_BLOCKS));
            self.blocks.resize(count, Block::new());
            self.held_bytes
                .fetch_add(count * Block::SIZE, Ordering::Relaxed);
        }
        &mut self.blocks[..count]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Frees the memory.
    pub(super) fn release(&mut self) {
        let held = std::mem::take(&mut self.blocks);
        self.held_bytes
            .fetch_sub(held.len() * Block::SIZE, Ordering::Relaxed);
    }
}

impl Drop for WorkMemory {
    fn drop(&mut self) {
        self.release();
    }
}

/// Niceness of a hashing thread: the default of `nice`.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lowers the calling thread's priority. On Linux each thread has its own niceness, although POSIX says otherwise
/// (setpriority(2), "C library/kernel differences"). On other systems this does nothing.
#[cfg(target_os = "linux")]
pub(super) fn lower_priority() {
    use rustix::{process, thread};

    let this = Some(thread::gettid());
    // Never raises the priority of a service that was started with a higher niceness.
    let result = process::getpriority_process(this)
        .and_then(|now| process::setpriority_process(this, NICENESS.max(now)));
    if let Err(error) = result {
        tracing::warn!(%error, "cannot lower the priority of a hashing thread");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn lower_priority() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{env, fs, process::Command};

    use rustix::{process, thread};

    use super::*;

    const BLOCKS: usize = 19_456;

    fn resident_kib() -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    /// How many KiB stay resident after allocating and freeing twice; glibc keeps memory from the second time on.
    fn kept_kib(hold: impl Fn() + Send + 'static) -> usize {
        let thread = std::thread::spawn(move || {
            let before = resident_kib();
            hold();
            hold();
            resident_kib().saturating_sub(before)
        });
        thread.join().unwrap()
    }

    #[test]
    #[ignore = "alone in its process: freed_memory_goes_back_to_the_system runs it"]
    fn probe() {
        let kept = kept_kib(|| {
            let mut memory = WorkMemory::new(Arc::default());
            memory.blocks(BLOCKS).fill(Block::new());
        });
        assert!(kept < 4_096, "{kept} KiB kept");
        // The control: without the large reservation, glibc keeps the memory.
        let kept = kept_kib(|| {
            let mut blocks = vec![Block::new(); BLOCKS];
            blocks.fill(Block::new());
            std::hint::black_box(&blocks);
        });
        assert!(
            cfg!(not(target_env = "gnu")) || kept > 16_384,
            "the control kept only {kept} KiB: is the reserve still needed?"
        );
    }

    #[test]
    fn freed_memory_goes_back_to_the_system() {
        let name = "app::passwords::hashing_thread::tests::probe";
        let probe = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", name, "--test-threads=1"])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&probe.stdout);
        assert!(
            probe.status.success() && output.contains("1 passed"),
            "{output}"
        );
    }

    #[test]
    fn only_the_calling_thread_is_lowered() {
        let before = process::getpriority_process(Some(thread::gettid())).unwrap();
        let lowered = std::thread::spawn(|| {
            lower_priority();
            process::getpriority_process(Some(thread::gettid())).unwrap()
        });
        assert_eq!(lowered.join().unwrap(), NICENESS.max(before));
        let after = process::getpriority_process(Some(thread::gettid())).unwrap();
        assert_eq!(after, before);
    }
}
