//! `GET /.well-known/oauth-authorization-server` (RFC 8414): where introspection and revocation are, and how
//! their callers show who they are.
//!
//! The server does not know what it is called outside, so the answer says what the request says: its host, and
//! `https` only where a trusted proxy says so. It is nobody else's answer: it is never stored.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, Uri, header, uri::Authority};
use serde_json::json;

use crate::domain::scope::OwnScope;

use super::{
    super::{
        endpoints::{INTROSPECT, METADATA, REVOKE},
        error::oauth,
        listener::Peer,
        origin::ClientAddress,
    },
    none_stored,
};

/// The route.
pub(in crate::server) fn routes(addresses: Arc<ClientAddress>) -> Router {
    none_stored(
        Router::new()
            .route(METADATA.path, get(describe))
            .with_state(addresses),
    )
}

async fn describe(
    State(addresses): State<Arc<ClientAddress>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(host) = host(&uri, &headers) else {
        let problem = "the host of the request is no host";
        return oauth::object(StatusCode::BAD_REQUEST, "invalid_request", problem);
    };
    let from_https = |ip| addresses.is_forwarded_from_https(ip, &headers);
    let is_https = peer.ip().is_some_and(from_https);
    let scheme = if is_https { "https" } else { "http" };
    let issuer = format!("{scheme}://{host}");
    let scopes: Vec<_> = OwnScope::ALL.iter().map(|scope| scope.as_str()).collect();
    Json(json!({
        "issuer": issuer,
        "introspection_endpoint": format!("{issuer}{}", INTROSPECT.path),
        "introspection_endpoint_auth_methods_supported": INTROSPECT.credentials.oauth_methods(),
        "revocation_endpoint": format!("{issuer}{}", REVOKE.path),
        "revocation_endpoint_auth_methods_supported": REVOKE.credentials.oauth_methods(),
        "scopes_supported": scopes,
        // Required, and there are none; absent grant types would mean some.
        "response_types_supported": [],
        "grant_types_supported": [],
    }))
    .into_response()
}

/// What the client called us: there is exactly one, as the edge has seen to.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => headers.get(header::HOST)?.to_str().ok()?.parse().ok(),
    }
}
