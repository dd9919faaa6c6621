//! What Hallpass is about, without any I/O: identifiers, token text, scopes, users, lifetimes, pages and
//! the audit chain. It knows no database, no protocol and no clock but the one handed in, so every rule
//! here can be tested as a function.

pub mod clock;
pub mod random;
pub mod secret;
pub mod time;
