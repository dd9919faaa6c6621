//! Hallpass over HTTP: the way of a request from the socket to a use case and back.

pub mod edge;
pub mod limits;
pub mod listener;
