//! Makes a hashing thread give way to all others.

/// How much a hashing thread gives way: as `nice` does by default.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lowers the calling thread's priority. On Linux a thread has a niceness of its own, whatever POSIX
/// says (setpriority(2), "C library/kernel differences"); elsewhere nothing is done.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    use rustix::{process, thread};

    let this = Some(thread::gettid());
    // Never up: a service that was started nicer stays so.
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
    fn only_the_thread_itself_gives_way() {
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
