//! The rules of Hallpass, without any I/O: identifiers, token text, scopes, users, lifetimes, pages and the audit
//! chain. It knows no database and no protocol, and takes the time as an argument, so that every rule can be tested
//! as a function.

pub mod address;
pub mod audit;
pub mod audit_action;
pub mod audit_chain;
pub mod audit_checkpoint;
pub mod audit_record;
pub mod base62;
pub mod cidr;
pub mod clock;
pub mod duration;
pub mod id;
pub mod lifetime;
pub mod note;
pub mod page;
pub mod presented_token;
pub mod random;
pub mod reason;
pub mod relative;
pub mod rotation;
pub mod scope;
pub mod secret;
pub mod time;
pub mod token;
pub mod token_search;
pub mod token_text;
pub mod user;
pub mod visible;
