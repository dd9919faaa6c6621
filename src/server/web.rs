//! What is not a remote procedure call: the probes, the page at `/` and what it links to, and the ways of
//! verifying and ending tokens that OAuth's clients and reverse proxies know.
//!
//! Each file here is a piece of the route table, mostly an axum router of its own. None knows the
//! store or the procedures in `server/rpc`: what a piece needs is handed to it.

mod client;
mod form;
pub mod forward_auth;
pub mod health;
pub mod introspection;
pub mod metadata;
pub mod metrics;
pub mod not_found;
pub mod reference;
pub mod revocation;
pub mod static_files;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// What is said of a token holds for that moment alone.
fn no_store(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, no_store);
    response
}

/// What a method is told that these endpoints do not take. Other answers by that status may be stored (RFC 9110 §15.5.6).
async fn not_allowed() -> Response {
    no_store(StatusCode::METHOD_NOT_ALLOWED.into_response())
}
