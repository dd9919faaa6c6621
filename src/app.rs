//! The use cases: what Hallpass does for a caller. Nothing here knows a protocol or a driver.

pub mod passwords;
