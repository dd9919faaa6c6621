//! The source of time. Tests replace it.

use std::{fmt::Debug, time::SystemTime};

use super::time::Timestamp;

/// Tells the current time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}
