//! Limits on a request's head: method, target, `Host`, header fields.
//!
//! hyper's limits are higher, so that these refusals are sent in the caller's protocol and the connection stays
//! open.

use connectrpc_axum::Code;
use http::{HeaderMap, Method, StatusCode, Version, header, request::Parts};

use super::error;
use crate::{
    domain::reason::Reason,
    server::{error::ApiError, limits::Limits, listener::OverBudget},
};

/// Limits on the header fields of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderLimits {
    bytes: usize,
    fields: usize,
}

impl HeaderLimits {
    /// Limits for ordinary requests.
    pub(super) const fn of_request(limits: &Limits) -> Self {
        Self {
            bytes: limits.max_header_bytes,
            fields: limits.max_header_fields,
        }
    }

    /// Limits for requests of a proxy, which carry the header of another request.
    pub(super) const fn external_auth(limits: &Limits) -> Self {
        Self {
            bytes: limits.max_forwarded_header_bytes,
            fields: limits.max_forwarded_header_fields,
        }
    }
}

/// Returns the first problem of the head, or that there is no memory for the request.
pub(super) fn check(parts: &Parts, limits: &Limits, max: HeaderLimits) -> Option<ApiError> {
    if parts.extensions.get::<OverBudget>().is_some() {
        return Some(head_error(
            StatusCode::SERVICE_UNAVAILABLE,
            error::overloaded(),
        ));
    }
    if matches!(parts.method, Method::TRACE | Method::CONNECT) {
        return Some(head_error(
            StatusCode::NOT_IMPLEMENTED,
            error::unsupported("this method is not supported"),
        ));
    }
    if let Some(refusal) = check_framing(parts) {
        return Some(refusal);
    }
    let target_bytes = parts.uri.path_and_query().map_or(0, |t| t.as_str().len());
    if target_bytes > limits.max_uri_bytes {
        let message = format!(
            "the request target is longer than {} bytes",
            limits.max_uri_bytes
        );
        return Some(head_error(StatusCode::URI_TOO_LONG, too_large(message)));
    }
    let (fields, bytes) = measure(&parts.headers, parts.version);
    if fields > max.fields {
        let message = format!("there are more than {} header fields", max.fields);
        return Some(head_error(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            too_large(message),
        ));
    }
    if bytes > max.bytes {
        let message = format!("the header is larger than {} bytes", max.bytes);
        return Some(head_error(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            too_large(message),
        ));
    }
    (!names_one_host(parts)).then(|| {
        let message = "the request must name its host exactly once";
        error::malformed(message).with_status(StatusCode::BAD_REQUEST)
    })
}

/// Checks the transfer coding, and the scheme that HTTP/2 must name (RFC 9113, 8.3.1). hyper decodes `chunked` and
/// passes on the content of any other coding as if it were the body (RFC 9112, 6.1 asks for 501). Without an
/// `:authority`, h2 checks that there is a scheme and drops it: a URI cannot hold one without the other.
fn check_framing(parts: &Parts) -> Option<ApiError> {
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next();
    let is_chunked = first.is_none_or(|c| c.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !is_chunked || codings.next().is_some() {
        let error = error::unsupported("the transfer coding is not chunked");
        return Some(head_error(StatusCode::NOT_IMPLEMENTED, error));
    }
    let is_foreign = match parts.uri.scheme_str() {
        Some("http" | "https") => false,
        Some(_) => true,
        None => parts.uri.authority().is_some(),
    };
    (parts.version == Version::HTTP_2 && is_foreign).then(|| {
        let message = "the scheme is neither http nor https";
        error::malformed(message).with_status(StatusCode::BAD_REQUEST)
    })
}

fn head_error(status: StatusCode, error: ApiError) -> ApiError {
    error.with_status(status)
}

fn too_large(message: String) -> ApiError {
    ApiError::new(Code::ResourceExhausted, Reason::RequestTooLarge, message)
}

/// Number of fields, and total size of their names and values. HTTP/2 may split Cookie into several fields, which
/// count as one field joined with "; " (RFC 9113, 8.2.3).
fn measure(headers: &HeaderMap, version: Version) -> (usize, usize) {
    let fields = headers.iter();
    let bytes = fields.map(|(name, value)| name.as_str().len() + value.len());
    let (fields, bytes) = (headers.len(), bytes.sum::<usize>());
    let crumbs = match version {
        Version::HTTP_2 => headers.get_all(header::COOKIE).iter().count(),
        _ => 0,
    };
    let more = crumbs.saturating_sub(1);
    let names = more * (header::COOKIE.as_str().len() - "; ".len());
    (fields - more, bytes - names)
}

/// RFC 9112, 3.2: exactly one Host in HTTP/1.1, at most one in HTTP/1.0. In HTTP/2 it is replaced by `:authority`
/// (RFC 9113, 8.3.1), and a Host beside it must have the same value; a proxy that translates HTTP/1 to HTTP/2, such
/// as `HAProxy`, may send only Host. Neither may contain user information.
fn names_one_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next().is_some());
    let authority = parts.uri.authority().map(|a| a.as_str().as_bytes());
    let names_a_user = |text: &[u8]| text.contains(&b'@');
    if more
        || host.is_some_and(|h| names_a_user(h.as_bytes()))
        || authority.is_some_and(names_a_user)
    {
        return false;
    }
    match (host, authority) {
        (Some(host), Some(authority)) if parts.version == Version::HTTP_2 => {
            host.as_bytes().eq_ignore_ascii_case(authority)
        }
        (None, Some(_)) => parts.version == Version::HTTP_2,
        (None, None) => parts.version == Version::HTTP_10,
        (Some(_), _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn status(request: http::request::Builder) -> Option<u16> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let limits = Limits::default();
        let error = check(&parts, &limits, HeaderLimits::of_request(&limits));
        error.and_then(|error| Some(error.status()?.as_u16()))
    }

    #[test]
    fn the_host_is_named_exactly_once() {
        assert_eq!(status(Request::get("/")), Some(400));
        assert_eq!(status(Request::get("/").header("host", "a")), None);
        assert_eq!(
            status(Request::get("/").header("host", "a").header("host", "a")),
            Some(400)
        );
        let h2 = |uri: &str| Request::get(uri).version(Version::HTTP_2);
        assert_eq!(status(h2("http://a/")), None);
        assert_eq!(status(h2("http://a/").header("host", "b")), Some(400));
        assert_eq!(status(h2("/")), Some(400));
        assert_eq!(status(h2("/").header("host", "a")), None);
        assert_eq!(status(h2("/").header("host", "a@b")), Some(400));
        assert_eq!(
            status(h2("/").header("host", "a").header("host", "b")),
            Some(400)
        );
        assert_eq!(status(h2("ftp://a/")), Some(400));
        assert_eq!(status(h2("http://a@b/")), Some(400));
        assert_eq!(status(Request::get("/").header("host", "a@b")), Some(400));
        let old = || Request::get("/").version(Version::HTTP_10);
        assert_eq!(status(old()), None);
        assert_eq!(status(old().header("host", "a")), None);
        assert_eq!(
            status(old().header("host", "a").header("host", "a")),
            Some(400)
        );
    }

    #[test]
    fn only_the_chunked_transfer_coding_is_accepted() {
        let post = |coding: &str| {
            Request::post("/")
                .header("host", "a")
                .header("transfer-encoding", coding)
        };
        assert_eq!(status(post("chunked")), None);
        assert_eq!(status(post("Chunked")), None);
        for coding in ["gzip, chunked", "chunked, chunked", "gzip", ""] {
            assert_eq!(status(post(coding)), Some(501), "{coding}");
        }
        assert_eq!(
            status(post("gzip").header("transfer-encoding", "chunked")),
            Some(501)
        );
    }

    #[test]
    fn methods_targets_and_headers_are_limited() {
        let ok = || Request::get("/").header("host", "a");
        assert_eq!(status(ok().method("TRACE")), Some(501));
        assert_eq!(status(ok().method("CONNECT").uri("a:1")), Some(501));
        assert_eq!(status(ok().uri(format!("/{}", "x".repeat(8191)))), None);
        assert_eq!(
            status(ok().uri(format!("/{}", "x".repeat(8192)))),
            Some(414)
        );
        assert_eq!(status(ok().header("x", "y".repeat(16_384))), Some(431));
        let many = (0..63).fold(ok(), |request, _| request.header("x", "y"));
        assert_eq!(status(many.header("x", "y")), Some(431));
    }

    #[test]
    fn forwarded_headers_have_higher_limits() {
        let status = |request: http::request::Builder| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let limits = Limits::default();
            let error = check(&parts, &limits, HeaderLimits::external_auth(&limits));
            error.and_then(|error| Some(error.status()?.as_u16()))
        };
        let ok = || Request::get("/").header("host", "a");
        let most = 64 * 1024 - "hosta".len() - "x".len();
        assert_eq!(status(ok().header("x", "y".repeat(most))), None);
        assert_eq!(status(ok().header("x", "y".repeat(most + 1))), Some(431));
        let many = (0..199).fold(ok(), |request, _| request.header("x", "y"));
        assert_eq!(status(many), None);
        let many = (0..200).fold(ok(), |request, _| request.header("x", "y"));
        assert_eq!(status(many), Some(431));
    }

    #[test]
    fn split_cookie_is_one_field_in_http2_only() {
        let crumbs = |version, number: usize, length: usize| {
            let request = Request::get("http://a/")
                .version(version)
                .header("host", "a");
            let crumb = || "y".repeat(length);
            status((0..number).fold(request, |request, _| request.header("cookie", crumb())))
        };
        assert_eq!(crumbs(Version::HTTP_2, 500, 16), None);
        assert_eq!(crumbs(Version::HTTP_11, 500, 16), Some(431));
        // As one field: the name, the parts and their separators.
        let most = (16 * 1024 - "hosta".len() - "cookie".len() + 2) / (14 + 2);
        assert_eq!(crumbs(Version::HTTP_2, most, 14), None);
        assert_eq!(crumbs(Version::HTTP_2, most + 1, 14), Some(431));
    }
}
