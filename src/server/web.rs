//! Endpoints that are not RPCs: probes, the start page and what it links to, and the ways in which OAuth clients
//! and reverse proxies verify and revoke tokens.
//!
//! The edge calls forward-auth, introspection and revocation itself; the others are axum routers. None knows the store
//! or the procedures in `server/rpc`: they are handed what they need.

mod client;
mod form;
pub(super) mod forward_auth;
pub mod health;
pub(super) mod introspection;
pub mod metadata;
pub mod not_found;
pub mod reference;
pub(super) mod revocation;
pub mod static_files;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

pub(super) use client::ClientRequest;

/// Answers about a token are only valid at that moment.
fn no_store(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, no_store);
    response
}

/// Refuses methods other than POST.
fn post_only() -> Response {
    let allow = [(header::ALLOW, "POST")];
    no_store((StatusCode::METHOD_NOT_ALLOWED, allow).into_response())
}

/// Answers unsupported methods. A 405 may be cached without `no-store` (RFC 9110 §15.5.6).
async fn not_allowed() -> Response {
    no_store(StatusCode::METHOD_NOT_ALLOWED.into_response())
}
