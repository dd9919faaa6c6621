//! Which pages of other origins may call the API, by `--cors-origin`.

use std::time::Duration;

use connectrpc_axum::Code;
use http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::domain::reason::Reason;

use super::{context::RequestContext, error::ApiError, listener::Peer};

/// How long a browser may cache a preflight response.
const MAX_AGE: Duration = Duration::from_hours(2);

/// Header fields that pages may always send: those of the RPC protocols, and those that tracing libraries in
/// browsers (W3C Trace Context and Baggage, Sentry) add to every request.
const REQUEST_HEADERS: [HeaderName; 12] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("baggage"),
    HeaderName::from_static("connect-protocol-version"),
    HeaderName::from_static("connect-timeout-ms"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("sentry-trace"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-user-agent"),
];

/// Header fields of responses that pages may read.
const RESPONSE_HEADERS: [HeaderName; 6] = [
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("x-request-id"),
];

/// The allowed origins.
#[derive(Debug)]
pub(super) struct Cors {
    listed: Vec<HeaderValue>,
    /// Answers preflights and adds the header fields of CORS; `None` if only same-origin pages may call.
    pub(super) layer: Option<CorsLayer>,
}

impl Cors {
    /// From the settings: `*` or values of `Origin`, and additional header fields that these pages may send.
    /// Credentials (cookies) are never allowed.
    pub(super) fn new(origins: &[String], headers: &[HeaderName]) -> Self {
        let any = origins.iter().any(|origin| origin == "*");
        let listed = origins.iter().filter(|origin| *origin != "*");
        let listed: Vec<_> = listed
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
            .collect();
        let allowed = match (any, &*listed) {
            (true, _) => Some(AllowOrigin::any()),
            (false, []) => None,
            (false, listed) => Some(AllowOrigin::list(listed.to_vec())),
        };
        let layer = allowed.map(|allowed| {
            CorsLayer::new()
                .allow_origin(allowed)
                .allow_methods([Method::GET, Method::POST])
                .allow_headers([&REQUEST_HEADERS[..], headers].concat())
                .expose_headers(RESPONSE_HEADERS)
                .max_age(MAX_AGE)
        });
        Self { listed, layer }
    }

    /// Whether the page that sent the request, if one did, may send passwords: if its origin is listed or our own.
    /// `*` is for pages that use a token: people should not type passwords into a page that anybody may have made.
    pub(super) fn may_send_password(&self, head: &Parts, peer: Peer) -> bool {
        let origin = head.headers.get(ORIGIN);
        origin
            .is_none_or(|origin| self.listed.contains(origin) || is_same_origin(origin, head, peer))
    }
}

/// Whether the page was served by this server. A proxy may have terminated TLS, so the scheme is compared only where the
/// server speaks TLS itself.
fn is_same_origin(origin: &HeaderValue, head: &Parts, peer: Peer) -> bool {
    let own = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let origin = origin.to_str().ok();
    let is_tls = matches!(peer, Peer::Tls(_));
    let parts = origin.and_then(|origin| origin.split_once("://"));
    let parts = parts.filter(|(scheme, _)| !is_tls || *scheme == "https");
    let host = parts.map(|(_, host)| host);
    matches!((host, own), (Some(host), Some(own)) if host.eq_ignore_ascii_case(own))
}

/// Rejects a password from a page that may not send one.
pub(super) fn check_password_page(context: &RequestContext) -> Result<(), ApiError> {
    if context.may_send_password() {
        return Ok(());
    }
    Err(ApiError::new(
        Code::PermissionDenied,
        Reason::PermissionDenied,
        "a page of this origin may not send passwords: list it with --cors-origin",
    ))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn allowed(origins: &[&str], origin: Option<&str>) -> bool {
        allowed_by(Peer::Network, origins, origin)
    }

    fn allowed_by(peer: fn(SocketAddr) -> Peer, origins: &[&str], origin: Option<&str>) -> bool {
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        let mut request = http::Request::builder()
            .uri("/x")
            .header(HOST, "tokens.example:8080");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let peer = peer(([192, 0, 2, 1], 4321).into());
        Cors::new(&origins, &[]).may_send_password(&head, peer)
    }

    #[test]
    fn passwords_are_accepted_from_listed_origins_and_our_own_only() {
        assert!(allowed(&[], None));
        assert!(allowed(&["*"], Some("http://tokens.example:8080")));
        assert!(allowed(
            &["*", "https://app.example"],
            Some("https://app.example")
        ));
        assert!(!allowed(&["*"], Some("https://app.example")));
        assert!(!allowed(&["*"], Some("null")));
        assert!(!allowed(&[], Some("https://tokens.example")));
    }

    #[test]
    fn plain_page_is_of_another_origin_where_the_server_speaks_tls() {
        let by_tls = |origin| allowed_by(Peer::Tls, &[], Some(origin));
        assert!(by_tls("https://tokens.example:8080"));
        assert!(!by_tls("http://tokens.example:8080"));
    }
}
