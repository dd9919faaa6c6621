//! Passwords: which ones may be chosen, how they are hashed and checked, and how often one may guess.
//!
//! A sign-in goes [`Throttle::admit`] → look up the user → [`Hasher::verify`] →
//! [`Attempt::succeed`], or the attempt is dropped and stays charged. This module knows no users, no
//! store and no protocol: names come in as text, hashes as rows, so that what an unknown name is
//! answered and what it costs cannot differ from a known one here.

mod blocklist;
mod hash;
mod hasher;
mod policy;
mod throttle;

pub use hash::PasswordHash;
pub use hasher::{Hasher, HasherError, HasherOptions, HasherStartError, Slots, Verdict};
pub use policy::{NewPassword, PasswordError};
pub use throttle::{Attempt, Backoff, LineLimits, Throttle, ThrottleLimits, Throttled};
