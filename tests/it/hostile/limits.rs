//! Limits of size and number: a request at the limit is accepted, one beyond it is refused in the caller's own
//! protocol, and the connection stays open.

use bytes::Bytes;
use http::Request;

use super::{
    CURRENT_USER,
    http1::Http1,
    http2::Http2,
    message_format::{MessageFormat, gzip, verdict, with},
};
use crate::{client::HttpResponse, test_app::TestApp};

const BODY: usize = 64 * 1024;

const HEADER: usize = 16 * 1024;

const FIELDS: usize = 64;

const TARGET: usize = 8 * 1024;

/// A connection of each HTTP version, used throughout.
struct Pair {
    token: String,
    http1: Http1,
    http2: Http2,
    _test: TestApp,
}

impl Pair {
    async fn open() -> Self {
        let test = TestApp::start().await;
        Self {
            token: test.admin.token.clone(),
            http1: Http1::connect(test.client.server).await,
            http2: Http2::connect(test.client.server).await,
            _test: test,
        }
    }

    async fn ask(&mut self, http2: bool, request: &Request<Bytes>) -> HttpResponse {
        if http2 {
            self.http2.ask(request).await.expect("the connection lives")
        } else {
            self.http1.ask(request).await.expect("the connection lives")
        }
    }

    /// The result of a request, after which a good one is served on the same connection.
    async fn verdict(&mut self, http2: bool, request: &Request<Bytes>) -> String {
        let reply = self.ask(http2, request).await;
        let good = MessageFormat::JSON.request(CURRENT_USER, &self.token, b"{}");
        assert_eq!(verdict(&self.ask(http2, &good).await), "ok");
        verdict(&reply)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_limit_applies_after_decompression_in_every_protocol() {
    let mut pair = Pair::open().await;
    let token = pair.token.clone();
    for format in MessageFormat::ALL {
        for (bytes, expected) in [
            (BODY, "ok"),
            (BODY + 1, "resource_exhausted"),
            (1024 * 1024, "resource_exhausted"),
        ] {
            let message = format.padded(bytes);
            let plain = format.request(CURRENT_USER, &token, &message);
            let packed = format.packed(CURRENT_USER, &token, &gzip(&message));
            for request in [plain, packed] {
                let said = pair.verdict(format.http2, &request).await;
                assert_eq!(said, expected, "{bytes} bytes as {format:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_limit_applies_without_a_declared_length() {
    let mut pair = Pair::open().await;
    for (bytes, expected) in [(BODY, "ok"), (BODY + 1, "resource_exhausted")] {
        let head = format!(
            "POST {CURRENT_USER} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            pair.token
        );
        pair.http1.write(head.as_bytes()).await;
        for part in MessageFormat::JSON.padded(bytes).chunks(1_000) {
            pair.http1
                .write(format!("{:x}\r\n", part.len()).as_bytes())
                .await;
            pair.http1.write(part).await;
            pair.http1.write(b"\r\n").await;
        }
        pair.http1.write(b"0\r\n\r\n").await;
        assert_eq!(verdict(&pair.http1.read().await.unwrap()), expected);
    }
    let packed = gzip(&vec![b' '; BODY + 1]);
    let message = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, packed);
    let query = format!("encoding=json&compression=gzip&base64=1&message={message}");
    for http2 in [false, true] {
        let get = Request::get(format!("{CURRENT_USER}?{query}"));
        let get = get.header("authorization", format!("Bearer {}", pair.token));
        let said = pair.verdict(http2, &get.body(Bytes::new()).unwrap()).await;
        assert_eq!(said, "resource_exhausted");
    }
}

/// The size and the number of the header fields as they are sent.
fn size(request: &Request<Bytes>, http2: bool) -> (usize, usize) {
    let fields = request.headers().iter();
    let bytes: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if http2 {
        return (bytes, request.headers().len());
    }
    let length = request.body().len().to_string();
    let added = "host".len() + "h".len() + "content-length".len() + length.len();
    (bytes + added, request.headers().len() + 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_limits_are_reported_in_every_protocol() {
    let mut pair = Pair::open().await;
    let token = pair.token.clone();
    for format in MessageFormat::ALL {
        for http2 in [format.http2, true] {
            let message: &[u8] = if format.json { b"{}" } else { b"" };
            let request = || format.request(CURRENT_USER, &token, message);
            let (bytes, fields) = size(&request(), http2);
            let filled = |total| with(request(), "x", &"y".repeat(total - bytes - 1));
            let crowded = |total| (fields..total).fold(request(), |r, _| with(r, "x", "y"));
            let target = |total: usize| {
                let mut request = request();
                let filling = "y".repeat(total - CURRENT_USER.len() - 1);
                *request.uri_mut() = format!("{CURRENT_USER}?{filling}").parse().unwrap();
                request
            };
            for (request, expected) in [
                (filled(HEADER), "ok"),
                (filled(HEADER + 1), "resource_exhausted"),
                (filled(HEADER * 3), "resource_exhausted"),
                (crowded(FIELDS), "ok"),
                (crowded(FIELDS + 1), "resource_exhausted"),
                (crowded(FIELDS * 3), "resource_exhausted"),
                (target(TARGET), "ok"),
                (target(TARGET + 1), "resource_exhausted"),
                (target(TARGET * 3), "resource_exhausted"),
            ] {
                let said = pair.verdict(http2, &request).await;
                let (bytes, fields) = size(&request, http2);
                assert_eq!(
                    said, expected,
                    "{bytes} bytes, {fields} fields as {format:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_limits_apply_to_plain_http_too() {
    let mut pair = Pair::open().await;
    let get = |uri: String| Request::get(uri).body(Bytes::new()).unwrap();
    for http2 in [false, true] {
        for (bytes, expected) in [(TARGET, "ok"), (TARGET + 1, "http 414")] {
            let request = get(format!(
                "/healthz?{}",
                "y".repeat(bytes - "/healthz?".len())
            ));
            assert_eq!(pair.verdict(http2, &request).await, expected);
        }
        let filled = with(get("/healthz".to_owned()), "x", &"y".repeat(HEADER));
        assert_eq!(pair.verdict(http2, &filled).await, "http 431");
        let crowded = (0..=FIELDS).fold(get("/healthz".to_owned()), |r, _| with(r, "x", "y"));
        assert_eq!(pair.verdict(http2, &crowded).await, "http 431");
    }
    for (request, expected) in [
        (
            format!("{CURRENT_USER}?encoding=json&message=%7B%7D&x="),
            "ok",
        ),
        (
            format!("{CURRENT_USER}?encoding=json&message=%7B%7D&xy="),
            "resource_exhausted",
        ),
    ] {
        let filling =
            "y".repeat(TARGET - CURRENT_USER.len() - "?encoding=json&message=%7B%7D&x=".len());
        let bearer = format!("Bearer {}", pair.token);
        let request = with(get(request + &filling), "authorization", &bearer);
        assert_eq!(pair.verdict(false, &request).await, expected);
    }
}
