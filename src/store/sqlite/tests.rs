//! Unit tests on files, and of all statements.

mod audit_statements;
pub(in crate::store) mod columns;
mod growth;
mod lists;
mod lock;
mod opening;
pub(in crate::store) mod plans;
