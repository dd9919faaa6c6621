//! `GET /.well-known/oauth-authorization-server` (RFC 8414): where introspection and revocation are, and how
//! their callers show who they are. A public URL with a path has its metadata below there, too (RFC 8414 §3.1).
//!
//! Without a public URL the answer says what the request says, so it is nobody else's answer: it is never stored.

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

/// The route.
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
    let problem = "the host of the request is no host";
    oauth::object(StatusCode::BAD_REQUEST, "invalid_request", problem)
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
        // Required, and an empty list must be left out (RFC 8414 §3.2): the registered word for a response with
        // nothing in it. Tokens are made by our own procedures, so there are no grants.
        "response_types_supported": ["none"],
    }))
    .into_response()
}
