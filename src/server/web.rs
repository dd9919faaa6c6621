//! What is not a remote procedure call: the probes, the page at `/`, and the ways of verifying and ending
//! tokens that OAuth's clients and reverse proxies know.
//!
//! Each file here is a piece of the route table, mostly an axum router of its own. None knows the
//! store or the procedures in `server/rpc`: what a piece needs is handed to it.

mod form;
pub mod forward_auth;
pub mod health;
pub mod introspection;
pub mod metadata;
pub mod metrics;
pub mod revocation;
pub mod static_files;

use axum::{Router, middleware::map_response, response::Response};
use http::{HeaderValue, header};

use super::edge::is_below;

/// Whether a web page may have business with a path. What is for services and proxies alone has no answer for
/// a browser's preflight: behind a proxy, any answer of success would stand for a verified request.
pub(super) fn is_for_browsers(path: &str) -> bool {
    let machines = [forward_auth::PATH, "/oauth2", metadata::PATH];
    !machines.into_iter().any(|top| is_below(path, top))
}

/// What is said of a token holds for that moment alone.
fn never_stored(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, no_store);
    response
}

/// Nor are any answers of these routes.
fn none_stored(routes: Router) -> Router {
    routes.layer(map_response(async |response| never_stored(response)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_no_business_with_what_is_for_machines() {
        for path in ["/forward-auth", "/forward-auth/a", "/oauth2/introspect"] {
            assert!(!is_for_browsers(path), "{path}");
        }
        for path in ["/", "/forward-authority", "/TokenService/GetToken"] {
            assert!(is_for_browsers(path), "{path}");
        }
    }
}
