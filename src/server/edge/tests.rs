//! The edge and the listener as a client sees them over real sockets, where the conformance suite does not look.

mod bounds;
mod http1;
mod http2;
mod server;

use base64::{Engine, engine::general_purpose::URL_SAFE};
use http1::Http1;
use http2::Http2;
use server::TestServer;

const GET_TOKEN: &str = "/hallpass.v1.TokenService/GetToken";

fn json(token_id: &str) -> String {
    format!(r#"{{"tokenId":"{token_id}"}}"#)
}

#[tokio::test]
async fn alias_calls_the_procedure_under_its_canonical_path() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let reply = client
        .post("/TokenService/GetToken", "application/json", &json("x"))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(
        reply.body,
        format!(r#"{{"token":{{"id":"x","note":"{GET_TOKEN}"}}}}"#)
    );
}

#[tokio::test]
async fn panic_is_an_internal_error_and_the_connection_stays_open() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let reply = client
        .post(GET_TOKEN, "application/json", &json("panic"))
        .await;
    assert_eq!((reply.status, reply.code()), (500, "internal".into()));
    assert_eq!(reply.reason(), "INTERNAL");
    assert_eq!(
        client
            .post(GET_TOKEN, "application/json", &json("x"))
            .await
            .status,
        200
    );

    let mut client = Http2::connect(&server).await;
    assert_eq!(client.grpc(GET_TOKEN, "panic", &[]).await.status(), "13");
    assert_eq!(client.grpc(GET_TOKEN, "x", &[]).await.status(), "0");
}

#[tokio::test]
async fn unsupported_methods_and_content_types_are_refused_by_status() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    for (method, path, allow) in [
        ("DELETE", GET_TOKEN, "GET, POST"),
        ("PUT", "/hallpass.v1.TokenService/CreateToken", "POST"),
        ("GET", "/hallpass.v1.TokenService/CreateToken", "POST"),
    ] {
        let reply = client.send(method, path, &[], "").await;
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some(allow)),
            "{method} {path}"
        );
    }
    let reply = client.post(GET_TOKEN, "application/grpc+foo", "").await;
    assert_eq!(reply.status, 415);
    assert!(reply.header("accept-post").is_some());
    assert_eq!(client.send("TRACE", "/", &[], "").await.status, 501);
    client
        .write(format!("HEAD {GET_TOKEN} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await;
    assert_eq!(client.read_head().await.status, 405);
}

#[tokio::test]
async fn request_for_no_procedure_goes_to_the_web_unless_it_is_a_call() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    for path in ["/web", "/oauth2/device/registration", "/a.B/C/D"] {
        let reply = client.post(path, "application/json", "{}").await;
        assert_eq!((reply.status, &*reply.body), (200, "web"), "{path}");
    }
    let reply = client.post("/a.B/C", "application/json", "{}").await;
    assert_eq!((reply.status, reply.code()), (404, "unimplemented".into()));
    assert_eq!(reply.reason(), "PROCEDURE_NOT_FOUND");
    let reply = client
        .send("GET", "/a.B/C?encoding=json&message=%7B%7D", &[], "")
        .await;
    assert_eq!((reply.status, reply.code()), (404, "unimplemented".into()));

    let mut client = Http2::connect(&server).await;
    assert_eq!(client.grpc("/web", "x", &[]).await.status(), "12");
}

#[tokio::test]
async fn headers_of_errors_reach_the_client_in_every_protocol() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let reply = client
        .post(GET_TOKEN, "application/json", &json("throttle"))
        .await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(reply.reason(), "OVERLOADED");
    let message = super::frame::wrap(0, json("throttle").as_bytes());
    let message = super::frame::to_base64(&message);
    let text = std::str::from_utf8(&message).unwrap();
    let reply = client
        .post(GET_TOKEN, "application/grpc-web-text+json", text)
        .await;
    let body = super::frame::from_base64(reply.body.as_bytes()).unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(
        body.contains("grpc-status: 8\r\n") && body.contains("retry-after: 7\r\n"),
        "{body}"
    );

    let mut client = Http2::connect(&server).await;
    let reply = client.grpc(GET_TOKEN, "throttle", &[]).await;
    assert_eq!(reply.status(), "8");
    assert_eq!(reply.headers["retry-after"], "7");
    assert!(reply.headers.contains_key("grpc-status-details-bin"));
}

#[tokio::test]
async fn only_replies_of_at_least_1_kib_are_compressed() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let headers = [
        ("content-type", "application/json"),
        ("accept-encoding", "gzip"),
    ];
    let reply = client.send("POST", GET_TOKEN, &headers, &json("x")).await;
    assert_eq!(reply.header("content-encoding"), None);
    let reply = client
        .send("POST", GET_TOKEN, &headers, &json("large"))
        .await;
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    let reply = client
        .post(GET_TOKEN, "application/json", &json("large"))
        .await;
    assert_eq!(reply.header("content-encoding"), None);
}

#[tokio::test]
async fn undecodable_message_is_an_invalid_argument_in_both_codecs() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    for (content_type, body) in [
        ("application/json", ""),
        ("application/json", "{"),
        ("application/json", r#"{"tokenId":1}"#),
        ("application/proto", "\x0a\x7f"),
        ("application/proto", "\x08\x01"),
    ] {
        let reply = client.post(GET_TOKEN, content_type, body).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, "invalid_argument".into()),
            "{body:?}"
        );
        assert_eq!(reply.reason(), "MALFORMED_REQUEST");
    }
    assert_eq!(
        client.post(GET_TOKEN, "application/proto", "").await.status,
        200
    );
}

#[tokio::test]
async fn get_carries_its_message_in_the_query() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let packed = super::frame::compress(json("x").as_bytes()).unwrap();
    let packed = URL_SAFE.encode(packed);
    let padded = URL_SAFE.encode(json("xyz"));
    assert!(padded.ends_with('='));
    for query in [
        "encoding=json&message=%7B%22tokenId%22:%22x%22%7D".to_owned(),
        format!("connect=v1&encoding=json&base64=1&message={padded}"),
        format!("connect=v1&encoding=json&base64=1&compression=gzip&message={packed}"),
        "connect=v1&encoding=proto&message=".to_owned(),
    ] {
        let reply = client
            .send("GET", &format!("{GET_TOKEN}?{query}"), &[], "")
            .await;
        assert_eq!(reply.status, 200, "{query}");
    }
    for (query, status) in [
        ("connect=v1&encoding=json", 400),
        ("connect=v2&encoding=json&message=%7B%7D", 400),
        ("connect=v1&encoding=json&message=", 400),
        (
            "connect=v1&encoding=json&base64=1&compression=gzip&message=YWJj",
            400,
        ),
        (
            "connect=v1&encoding=json&compression=br&message=%7B%7D",
            501,
        ),
        ("connect=v1&encoding=xml&message=%7B%7D", 415),
        ("connect=v1&message=%7B%7D", 415),
    ] {
        let reply = client
            .send("GET", &format!("{GET_TOKEN}?{query}"), &[], "")
            .await;
        assert_eq!(reply.status, status, "{query}");
    }
}

#[tokio::test]
async fn reflection_streams_in_every_streaming_protocol() {
    let server = TestServer::start().await;
    let mut client = Http2::connect(&server).await;
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let list_services = b"\x3a\x00";
    for content_type in [
        "application/grpc",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/connect+proto",
    ] {
        let reply = client.converse(path, content_type, list_services).await;
        let reply = String::from_utf8_lossy(&reply).into_owned();
        assert!(
            reply.contains("hallpass.v1.TokenService"),
            "{content_type}: {reply}"
        );
    }
}
