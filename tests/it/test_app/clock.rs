//! The fake clock: it stands still until a test advances it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use hallpass::domain::{clock::Clock, time::Timestamp};

/// When every test begins: 2026-01-02T03:04:05.678901Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_323_045_678_901);

#[derive(Debug)]
pub(crate) struct FakeClock(AtomicI64);

impl Default for FakeClock {
    fn default() -> Self {
        Self(AtomicI64::new(START.as_micros()))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl FakeClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }

    /// The time `by` after now in JSON's format.
    pub(crate) fn after(&self, by: Duration) -> String {
        rfc3339(self.now().plus(by))
    }
}

/// A time in canonical `ProtoJSON`: 0, 3, 6 or 9 fractional digits.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let (seconds, nanos) = time.to_parts();
    let time = prost_types::Timestamp { seconds, nanos };
    time.to_string()
}
