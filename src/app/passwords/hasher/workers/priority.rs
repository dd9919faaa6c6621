//! Lowers the priority of hashing threads.

/// Niceness of a hashing thread: the default of `nice`.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lowers the calling thread's priority. On Linux each thread has its own niceness, although POSIX says otherwise
/// (setpriority(2), "C library/kernel differences"). On other systems this does nothing.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
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
pub(super) fn lower() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use rustix::{process, thread};

    #[test]
    fn only_the_calling_thread_is_lowered() {
        let before = process::getpriority_process(Some(thread::gettid())).unwrap();
        let lowered = std::thread::spawn(|| {
            super::lower();
            process::getpriority_process(Some(thread::gettid())).unwrap()
        });
        assert_eq!(lowered.join().unwrap(), super::NICENESS.max(before));
        let after = process::getpriority_process(Some(thread::gettid())).unwrap();
        assert_eq!(after, before);
    }
}
