//! How requests name their host and path: `Host`, `:authority`, or, in HTTP/1.0, no host at all; and a path that names a
//! procedure only after normalisation, which the server does not do: what a proxy allowed by its path is what is served.

use bytes::Bytes;
use http::Request;

use super::{
    http1::{Http1, REPLY_TIMEOUT},
    http2::{END_HEADERS, END_STREAM, HEADERS, RawHttp2, fields, frame},
    message_format::{MessageFormat, verdict},
};
use crate::test_app::TestApp;

#[tokio::test]
async fn path_is_never_normalised() {
    let test = TestApp::start().await;
    let mut socket = Http1::connect(test.client.server).await;
    for (target, expected) in [
        ("/hallpass.v1.AuthnService/GetCurrentUser", "ok"),
        ("http://h/hallpass.v1.AuthnService/GetCurrentUser", "ok"),
        ("/hallpass.v1.AuthnService/GetCurrentUser?x=/../..", "ok"),
        ("/x/../hallpass.v1.AuthnService/GetCurrentUser", "http 404"),
        ("/./hallpass.v1.AuthnService/GetCurrentUser", "http 404"),
        ("//hallpass.v1.AuthnService/GetCurrentUser", "http 404"),
        ("/hallpass.v1.AuthnService//GetCurrentUser", "http 404"),
        ("/hallpass.v1.AuthnService/GetCurrentUser/", "http 404"),
        ("/hallpass.v1.AuthnService/GetCurrentUser/.", "http 404"),
        (
            "/hallpass.v1.AuthnService/%47etCurrentUser",
            "unimplemented",
        ),
        (
            "/hallpass.v1%2eAuthnService/GetCurrentUser",
            "unimplemented",
        ),
        ("/hallpass.v1.AuthnService%2FGetCurrentUser", "http 404"),
        (
            "/hallpass.v1.AuthnService/GetCurrentUser%00",
            "unimplemented",
        ),
        (
            "/hallpass.v1.AuthnService/GetCurrentUser;x",
            "unimplemented",
        ),
        ("/HALLPASS.V1.AUTHNSERVICE/GETCURRENTUSER", "unimplemented"),
        (
            "/healthz/../hallpass.v1.AuthnService/GetCurrentUser",
            "http 404",
        ),
    ] {
        let mut request = MessageFormat::JSON.request(target, &test.admin.token, b"{}");
        request.headers_mut().insert("host", "h".parse().unwrap());
        let reply = socket.ask(&request).await.expect("the connection lives");
        assert_eq!(verdict(&reply), expected, "{target}");
    }
    for (target, status) in [
        ("/healthz", 200),
        ("http://elsewhere/healthz", 200),
        ("/static/../../etc/passwd", 404),
        ("/%2e%2e/Cargo.toml", 404),
        ("/app.css/../app.js", 404),
        ("/..%2fapp.js", 404),
    ] {
        let request = Request::get(target).body(Bytes::new()).unwrap();
        let reply = socket.ask(&request).await.expect("the connection lives");
        assert_eq!(reply.head.status, status, "{target}");
    }
}

async fn status_in_http2(test: &TestApp, hosts: &[(&str, &str)]) -> u16 {
    let mut socket = RawHttp2::connect(test.client.server).await;
    let pseudo = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/healthz"),
    ];
    let authority = hosts.iter().filter(|(name, _)| name.starts_with(':'));
    let fields_after = hosts.iter().filter(|(name, _)| !name.starts_with(':'));
    let all: Vec<_> = pseudo
        .iter()
        .chain(authority)
        .chain(fields_after)
        .copied()
        .collect();
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all));
    socket.write(&head).await;
    loop {
        let frame = socket
            .read(REPLY_TIMEOUT)
            .await
            .expect("the connection lives");
        if (frame.kind, frame.stream) == (HEADERS, 1) {
            return frame.status();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_may_name_its_host_as_http1_does() {
    let test = TestApp::start().await;
    for (hosts, status) in [
        (&[(":authority", "h")][..], 200),
        (&[("host", "h")], 200),
        (&[(":authority", "h"), ("host", "h")], 200),
        (&[(":authority", "h"), ("host", "other")], 400),
        (&[("host", "h"), ("host", "h")], 400),
        (&[("host", "user@h")], 400),
        (&[], 400),
    ] {
        assert_eq!(status_in_http2(&test, hosts).await, status, "{hosts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http10_needs_no_host_and_http11_does() {
    let test = TestApp::start().await;
    for (head, status) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\nHost: h\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
    ] {
        let mut socket = Http1::connect(test.client.server).await;
        socket.write(head.as_bytes()).await;
        let reply = socket.read().await.expect("an answer");
        assert_eq!(reply.head.status, status, "{head}");
    }
}
