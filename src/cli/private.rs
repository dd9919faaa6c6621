//! What keeps a process's memory and environment from others. Both hold secrets: tokens and passwords, for as long
//! as they are at work, and those of variables for good.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Nobody but root sees this process's memory and environment from now on, in `/proc`, by a debugger or in a core
/// file, not even a process of the same user. Where the system refuses, the process is as private as others are.
pub(super) fn keep_to_ourselves() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}
