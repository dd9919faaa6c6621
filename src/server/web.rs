//! Endpoints that are not RPCs: probes, the start page and what it links to, and the ways in which OAuth clients
//! and reverse proxies verify and revoke tokens.
//!
//! Each file is a part of the route table, mostly an axum router. None knows the store or the procedures in
//! `server/rpc`: they are handed what they need.

mod client;
mod form;
pub mod forward_auth;
pub mod health;
pub mod introspection;
pub mod metadata;
pub mod not_found;
pub mod reference;
pub mod revocation;
pub mod static_files;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// Answers about a token are only valid at that moment.
fn no_store(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, no_store);
    response
}

/// Answers unsupported methods. A 405 may be cached without `no-store` (RFC 9110 §15.5.6).
async fn not_allowed() -> Response {
    no_store(StatusCode::METHOD_NOT_ALLOWED.into_response())
}
