//! `GET /.well-known/oauth-authorization-server` (RFC 8414): where introspection and revocation are, and how
//! clients authenticate there. A public URL with a path has its metadata below that path, too (RFC 8414 §3.1).
//!
//! Without a public URL the answer depends on the request, so it must not be cached.

use axum::{
    Extension, Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::json;

use crate::domain::scope::OwnScope;

use super::{
    super::{
        endpoints::{INTROSPECT, METADATA, REVOKE},
        error::oauth,
        listener::Peer,
        public_url::Issuer,
    },
    no_store, not_allowed,
};

pub(in crate::server) fn routes(issuer: Issuer) -> Router {
    let below = issuer.public_url.as_ref().map_or("", |url| url.path());
    let mut routes = Router::new().route(METADATA.path, get(describe).fallback(not_allowed));
    if !below.is_empty() {
        routes = routes.route(
            &format!("{}{below}", METADATA.path),
            get(describe).fallback(not_allowed),
        );
    }
    routes.with_state(issuer)
}

async fn describe(
    State(issuer): State<Issuer>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let issuer = issuer.find(peer, &uri, &headers);
    no_store(issuer.map_or_else(without_host, |issuer| metadata(&issuer)))
}

fn without_host() -> Response {
    let problem = "the request's host is not a valid host";
    oauth::error_response(StatusCode::BAD_REQUEST, "invalid_request", problem)
}

fn metadata(issuer: &str) -> Response {
    let scopes: Vec<_> = OwnScope::ALL.iter().map(|scope| scope.as_str()).collect();
    Json(json!({
        "issuer": issuer,
        "introspection_endpoint": format!("{issuer}{}", INTROSPECT.path),
        "introspection_endpoint_auth_methods_supported": INTROSPECT.credentials.oauth_methods(),
        "revocation_endpoint": format!("{issuer}{}", REVOKE.path),
        "revocation_endpoint_auth_methods_supported": REVOKE.credentials.oauth_methods(),
        "scopes_supported": scopes,
        // Required, but an empty list must be left out (RFC 8414 §3.2): `none` is the registered value for a
        // response without parameters. Tokens are created by our own procedures, so there are no grants.
        "response_types_supported": ["none"],
    }))
    .into_response()
}
