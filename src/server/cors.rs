//! Which pages of other origins may call the API, by `--cors-origin`.

mod cors_router;

use std::time::Duration;

use axum::extract::FromRequestParts;
use connectrpc_axum::{Code, ConnectError};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::proto::hallpass::v1::Reason;

use super::edge;
pub(super) use cors_router::CorsRouter;

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

/// The allowed origins.
#[derive(Clone, Debug, Default)]
pub(super) struct CorsOrigins {
    any: bool,
    listed: Vec<HeaderValue>,
    /// Header fields that these pages may send besides [`REQUEST_HEADERS`].
    headers: Vec<HeaderName>,
}

impl CorsOrigins {
    /// From the settings: `*` or values of `Origin`, and additional header fields.
    pub(super) fn new(origins: &[String], headers: &[HeaderName]) -> Self {
        let any = origins.iter().any(|origin| origin == "*");
        let listed = origins.iter().filter(|origin| *origin != "*");
        let listed = listed
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
            .collect();
        Self {
            any,
            listed,
            headers: headers.to_vec(),
        }
    }

    /// The layer that answers preflights and adds CORS headers; `None` if only same-origin pages may call.
    /// Credentials (cookies) are never allowed.
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let header = HeaderName::from_static;
        let allow = match (self.any, &*self.listed) {
            (true, _) => AllowOrigin::any(),
            (false, []) => return None,
            (false, listed) => AllowOrigin::list(listed.to_vec()),
        };
        let layer = CorsLayer::new()
            .allow_origin(allow)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([&REQUEST_HEADERS[..], &self.headers].concat())
            .expose_headers([
                RETRY_AFTER,
                WWW_AUTHENTICATE,
                header("grpc-message"),
                header("grpc-status"),
                header("grpc-status-details-bin"),
                header("x-request-id"),
            ])
            .max_age(MAX_AGE);
        Some(layer)
    }

    /// Marks requests from pages that may not send a password.
    pub(super) fn mark<B>(&self, request: &mut Request<B>) {
        if let Some(origin) = request.headers().get(ORIGIN)
            && !self.listed.contains(origin)
            && !is_same_origin(origin, request)
        {
            request.extensions_mut().insert(UnlistedOrigin);
        }
    }
}

/// Whether the page was served by this server. A proxy may have terminated TLS, so the scheme is not compared.
fn is_same_origin<B>(origin: &HeaderValue, request: &Request<B>) -> bool {
    let host = |headers: &HeaderMap| {
        headers
            .get(HOST)
            .and_then(|host| host.to_str().ok().map(str::to_owned))
    };
    let own = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .or_else(|| host(request.headers()));
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    matches!((origin, own), (Some((_, host)), Some(own)) if host.eq_ignore_ascii_case(&own))
}

/// Extension of a request from a page whose origin is not listed, other than by `*`.
#[derive(Clone, Copy, Debug)]
struct UnlistedOrigin;

/// Extractor for handlers that take a password: whether the page that sent the request, if one did, may send
/// passwords.
#[derive(Clone, Copy, Debug)]
pub(super) struct PasswordOrigin {
    allowed: bool,
}

impl PasswordOrigin {
    /// Rejects passwords from pages whose origin is not listed. `*` is for pages that use a token: people should
    /// not type passwords into a page that anybody may have made.
    pub(super) fn check(self) -> Result<(), ConnectError> {
        if self.allowed {
            return Ok(());
        }
        let message = "a page of this origin may not send passwords: list it with --cors-origin";
        Err(edge::refusal(
            Code::PermissionDenied,
            Reason::PermissionDenied,
            message,
        ))
    }
}

impl<S: Sync> FromRequestParts<S> for PasswordOrigin {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        Ok(Self {
            allowed: parts.extensions.get::<UnlistedOrigin>().is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str], origin: Option<&str>) -> bool {
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        let mut request = Request::builder()
            .uri("/x")
            .header(HOST, "tokens.example:8080");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let mut request = request.body(()).unwrap();
        CorsOrigins::new(&origins, &[]).mark(&mut request);
        request.extensions().get::<UnlistedOrigin>().is_none()
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
}
