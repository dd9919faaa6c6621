//! Passwords: the policy for choosing them, hashing and checking them, and throttling guesses.
//!
//! A sign-in goes [`Throttle::admit`](super::limits::Throttle::admit) → look up the user → [`Hasher::verify`] →
//! [`Attempt::succeed`](super::limits::Attempt::succeed), or the attempt is dropped and stays charged. This module knows
//! no users, no store and no protocol: names come in as text and hashes as rows, so an unknown name cannot get another
//! error or cost less than a known one.

mod blocklist;
mod hash;
mod hasher;
mod hashing_thread;
mod policy;
mod workers;

pub use hash::PasswordHash;
pub use hasher::{Hasher, HasherError, HasherOptions, HasherStartError, PasswordCheck};
pub use policy::{NewPassword, PasswordError};
pub use workers::HashQueue;
