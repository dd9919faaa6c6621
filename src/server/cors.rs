//! Which web pages of other origins may call, by `--cors-origin`.

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

/// For how long a browser may remember what a preflight told it.
const MAX_AGE: Duration = Duration::from_hours(2);

/// What pages send of their own accord: the protocols' fields, and those by which browsers' tracing libraries
/// (W3C Trace Context and Baggage, Sentry) mark every request of a page.
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

/// The origins that were listed.
#[derive(Clone, Debug, Default)]
pub(super) struct CorsOrigins {
    any: bool,
    listed: Vec<HeaderValue>,
    /// What their pages may send beside [`REQUEST_HEADERS`].
    headers: Vec<HeaderName>,
}

impl CorsOrigins {
    /// From the settings: `*`, or what a browser sends as `Origin`; and the further header fields.
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

    /// The layer that answers preflights and marks replies; none where only pages of this server may
    /// call. Credentials (cookies) are never allowed.
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

    /// Notes on a request whether its page may send a password.
    pub(super) fn mark<B>(&self, request: &mut Request<B>) {
        if let Some(origin) = request.headers().get(ORIGIN)
            && !self.listed.contains(origin)
            && !is_same_origin(origin, request)
        {
            request.extensions_mut().insert(UnlistedOrigin);
        }
    }
}

/// Whether a page of this very server sends it. A proxy may have taken the TLS off, so the scheme is not
/// compared.
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

/// The request comes from a page whose origin is not listed, at most covered by `*`.
#[derive(Clone, Copy, Debug)]
struct UnlistedOrigin;

/// That the page a request comes from, if it comes from one, may send a password; an argument of the
/// handlers that take one.
#[derive(Clone, Copy, Debug)]
pub(super) struct PasswordOrigin {
    allowed: bool,
}

impl PasswordOrigin {
    /// Refuses a password from a page whose origin is not listed. `*` is for pages that hold a token: a
    /// page that anyone may have made must not be where people type passwords.
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
    fn a_password_comes_from_listed_pages_and_own_ones_only() {
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
