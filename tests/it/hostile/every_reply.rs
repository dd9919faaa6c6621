//! Header fields that every response has.

use std::collections::HashSet;

use bytes::Bytes;
use hallpass::server::endpoints::{self, Endpoint};
use http::Request;

use super::{
    CURRENT_USER,
    http1::Http1,
    http2::Http2,
    message_format::{MessageFormat, text, with},
};
use crate::test_app::TestApp;

const ORIGIN: &str = "https://app.example";

const CHECK_DATA: &str = "/hallpass.v1.AdminService/CheckData";

/// Requests with every kind of result, and whether they are calls.
fn requests(token: &str) -> Vec<(&'static str, Request<Bytes>, bool)> {
    let ask = |method: &str, uri: &str| {
        let request = Request::builder().method(method).uri(uri);
        request.body(Bytes::new()).unwrap()
    };
    let long = format!("/healthz?{}", "y".repeat(9_000));
    let crowded = (0..70).fold(ask("GET", "/healthz"), |request, _| with(request, "x", "y"));
    let mut preflight = with(ask("OPTIONS", CURRENT_USER), "origin", ORIGIN);
    preflight = with(preflight, "access-control-request-method", "POST");
    let mut no_type = MessageFormat::JSON.request(CURRENT_USER, token, b"{}");
    no_type.headers_mut().remove("content-type");
    let mut all = vec![
        ("a page", ask("GET", "/"), false),
        ("a page's head", ask("HEAD", "/app.css"), false),
        (
            "a page that is known",
            with(ask("GET", "/"), "if-none-match", "*"),
            false,
        ),
        ("a probe", ask("GET", "/healthz"), false),
        ("no such page", ask("GET", "/nope"), false),
        ("a method of no page", ask("PUT", "/healthz"), false),
        ("a method of nothing", ask("TRACE", "/"), false),
        ("a target too long", ask("GET", &long), false),
        ("fields too many", crowded, false),
        ("a preflight", preflight, false),
        ("a method of no procedure", ask("PUT", CURRENT_USER), true),
        ("a content type of none", no_type, true),
        ("a GET without a message", ask("GET", CURRENT_USER), true),
    ];
    let get = ask(
        "GET",
        &format!("{CURRENT_USER}?encoding=json&message=%7B%7D"),
    );
    let bearer = format!("Bearer {token}");
    all.push(("a GET", with(get, "authorization", &bearer), true));
    all.extend(of_streams(token));
    for format in MessageFormat::ALL {
        let message: &[u8] = if format.json { b"{}" } else { b"" };
        let large = format.padded(70_000);
        let fields = |count| {
            let request = format.request(CURRENT_USER, token, message);
            (0..count).fold(request, |request, _| with(request, "x", "y"))
        };
        all.extend([
            ("a call", format.request(CURRENT_USER, token, message), true),
            (
                "a caller unknown",
                format.request(CURRENT_USER, "nope", message),
                true,
            ),
            ("a page's call", with(fields(0), "origin", ORIGIN), true),
            (
                "a foreign page's call",
                with(fields(0), "origin", "https://x.example"),
                true,
            ),
            (
                "no such procedure",
                format.request("/hallpass.v1.TokenService/Nope", token, message),
                true,
            ),
            (
                "no such service",
                format.request("/x.Y/Z", token, message),
                true,
            ),
            (
                "a message too large",
                format.request(CURRENT_USER, token, &large),
                true,
            ),
            ("fields of a call too many", fields(70), true),
            (
                "a message that is none",
                format.request(CURRENT_USER, token, b"\xff"),
                true,
            ),
            (
                "an encoding unknown",
                with(fields(0), format.encoding, "br"),
                true,
            ),
            (
                "a time over",
                with(
                    fields(0),
                    format.timeout.0,
                    if format.timeout.0 == "grpc-timeout" {
                        "0S"
                    } else {
                        "0"
                    },
                ),
                true,
            ),
        ]);
    }
    all
}

/// Successful and refused calls of a stream.
fn of_streams(token: &str) -> Vec<(&'static str, Request<Bytes>, bool)> {
    let shapes = MessageFormat::ALL
        .map(MessageFormat::of_streams)
        .into_iter();
    let requests = shapes.flat_map(|format| {
        let message: &[u8] = if format.json { b"{}" } else { b"" };
        let stream = |token| format.request(CHECK_DATA, token, message);
        [
            ("a stream", stream(token), true),
            ("a stream's caller unknown", stream("nope"), true),
        ]
    });
    requests.collect()
}

/// A POST and a GET for every endpoint.
fn to_endpoints(token: &str) -> Vec<(&'static str, Request<Bytes>, bool)> {
    let ask = |method: &str, endpoint: &Endpoint| {
        let request = Request::builder().method(method).uri(endpoint.path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let is_call = endpoint.service().is_some();
        (endpoint.path, request.body(Bytes::new()).unwrap(), is_call)
    };
    endpoints::all()
        .flat_map(|endpoint| ["GET", "POST"].map(|method| ask(method, endpoint)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_has_an_id_and_forbids_sniffing_and_caching() {
    let test = TestApp::start_with(|settings| {
        settings.server.cors_origins = vec![ORIGIN.to_owned()];
    })
    .await;
    let mut ids = HashSet::new();
    let mut count = 0;
    let token = &test.admin.token;
    let requests = [requests(token), to_endpoints(token)].concat();
    let heads = requests.iter().filter(|(_, ask, _)| ask.method() == "HEAD");
    let expected = 2 * requests.len() - heads.count();
    for (name, request, is_call) in requests {
        // A response to HEAD has a length and no body.
        let mut http1 = Http1::connect(test.client.server).await;
        let mut http2 = Http2::connect(test.client.server).await;
        let mut replies = vec![http2.ask(&request).await.unwrap()];
        if request.method() != "HEAD" {
            replies.push(http1.ask(&request).await.unwrap());
        }
        for reply in replies {
            count += 1;
            let content_type = text(&reply, "content-type");
            assert!(
                ids.insert(text(&reply, "x-request-id").to_owned()),
                "{name}"
            );
            assert_eq!(text(&reply, "x-content-type-options"), "nosniff", "{name}");
            if is_call {
                assert_eq!(
                    text(&reply, "cache-control"),
                    "no-store",
                    "{name} {content_type}"
                );
            }
        }
    }
    assert!(!ids.contains(""));
    assert_eq!(ids.len(), count);
    assert_eq!(count, expected);
}

/// Such bytes never become a request, so the response is hyper's: a status, no text,
/// and the end of the connection.
#[tokio::test]
async fn bytes_that_are_not_http_get_a_bare_status() {
    let test = TestApp::start().await;
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    for (bytes, status) in [("x y z\r\n\r\n", 400), (&*long, 431)] {
        let mut socket = Http1::connect(test.client.server).await;
        socket.write(bytes.as_bytes()).await;
        let reply = socket.read().await.unwrap();
        assert_eq!(reply.head.status, status);
        assert_eq!(text(&reply, "connection"), "close");
        assert!(reply.body.is_empty());
        assert!(socket.read().await.is_none());
    }
}
