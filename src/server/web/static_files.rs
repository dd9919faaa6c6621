//! The start page and the files it loads from `static/`, embedded in the binary.
//!
//! They are public and the same for everybody, so nothing here knows a caller. The version and the server's URL are
//! written into the page when the routes are built, so that it works without JavaScript and they are part of the
//! `ETag`.
//!
//! The page may be behind a proxy that strips a path prefix, so all its URLs are relative.

use std::fmt::Write;

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::super::{
    endpoints::{APP_CSS, APP_JS, COPY_JS, DOM_JS, Endpoint, ICON, PAGE, READINESS_JS},
    public_url::PublicUrl,
};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The files with their content types. A test compares them with the directory.
const FILES: [(Endpoint, &str, &[u8]); 7] = [
    (PAGE, HTML, include_bytes!("../../../static/index.html")),
    (APP_CSS, CSS, include_bytes!("../../../static/app.css")),
    (APP_JS, JS, include_bytes!("../../../static/app.js")),
    (COPY_JS, JS, include_bytes!("../../../static/copy.js")),
    (DOM_JS, JS, include_bytes!("../../../static/dom.js")),
    (ICON, SVG, include_bytes!("../../../static/icon.svg")),
    (
        READINESS_JS,
        JS,
        include_bytes!("../../../static/readiness.js"),
    ),
];

/// Placeholder for the version.
const VERSION_MARK: &str = "{{version}}";
/// Placeholder for the server's URL, for readers without JavaScript.
const ADDRESS_MARK: &str = "{{address}}";
/// The URL if none is configured: that of a server with default settings.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8080";

/// Only our own files, and no way to turn text into code.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    // Cached, but revalidated every time, so that the page of an upgraded server appears at once.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// `GET` and `HEAD` of the page and of every file that it loads, with a strong `ETag` (RFC 9110 §8.8.3).
pub fn routes(public_url: Option<&PublicUrl>) -> Router {
    let address = public_url.map_or(DEFAULT_ADDRESS, PublicUrl::as_str);
    FILES
        .into_iter()
        .fold(Router::new(), |router, (endpoint, content_type, bytes)| {
            let body = if content_type == HTML {
                let page = String::from_utf8_lossy(bytes);
                let page = page.replace(VERSION_MARK, env!("CARGO_PKG_VERSION"));
                // A public URL contains no characters that are special in HTML.
                Bytes::from(page.replace(ADDRESS_MARK, address))
            } else {
                Bytes::from_static(bytes)
            };
            router.merge(File::new(content_type, body).at(endpoint.path))
        })
}

/// An embedded file.
#[derive(Clone)]
pub(super) struct File {
    content_type: &'static str,
    etag: HeaderValue,
    body: Bytes,
}

impl File {
    pub(super) fn new(content_type: &'static str, body: Bytes) -> Self {
        Self {
            content_type,
            etag: etag(&body),
            body,
        }
    }

    /// Its route.
    pub(super) fn at(self, path: &str) -> Router {
        Router::new().route(
            path,
            get(async move |request_headers: HeaderMap| self.answer(&request_headers)),
        )
    }

    fn answer(&self, request_headers: &HeaderMap) -> Response {
        let etag = (header::ETAG, self.etag.clone());
        if none_match(request_headers, &self.etag) {
            let content_type = (header::CONTENT_TYPE, self.content_type);
            return (HEADERS, [content_type], [etag], self.body.clone()).into_response();
        }
        (StatusCode::NOT_MODIFIED, HEADERS, [etag]).into_response()
    }
}

/// The first 128 bits of the SHA-256, in hex.
fn etag(body: &[u8]) -> HeaderValue {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(body)[..16] {
        write!(tag, "{byte:02x}").expect("a String takes all that is written");
    }
    tag.push('"');
    HeaderValue::from_str(&tag).expect("quotes and hex digits are legal in a header")
}

/// Whether `If-None-Match` (RFC 9110 §13.1.2, weak comparison) allows the file to be sent.
fn none_match(request_headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = etag.as_bytes();
    !request_headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag)
}

#[cfg(test)]
pub(in crate::server) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(endpoint, ..)| endpoint.path)
}

#[cfg(test)]
mod tests;
