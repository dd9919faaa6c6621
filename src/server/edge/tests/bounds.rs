//! What is refused, cut short or drained, and what goes on after it.

use super::{GET_TOKEN, json};
use super::{http1::Http1, http2::Http2, server::TestServer};
use crate::server::edge::frame;

#[tokio::test]
async fn a_refused_body_is_read_so_that_the_refusal_arrives_and_the_connection_lives() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let large = "x".repeat(1024 * 1024);
    for (path, status) in [
        (GET_TOKEN, 429),
        ("/hallpass.v1.TokenService/Nope", 404),
        ("/web", 200),
    ] {
        let reply = client.post(path, "application/json", &large).await;
        assert_eq!(reply.status, status, "{path}");
        let reply = client.post_chunked(path, "application/json", &large).await;
        assert_eq!(reply.status, status, "{path}");
    }
    let unauthenticated = [("x-refuse", "yes")];
    let reply = client
        .send("POST", GET_TOKEN, &unauthenticated, &large)
        .await;
    assert_eq!(reply.status, 415);
    let unauthenticated = [("x-refuse", "yes"), ("content-type", "application/json")];
    let reply = client
        .send("POST", GET_TOKEN, &unauthenticated, &large[..65_000])
        .await;
    assert_eq!(
        (reply.status, reply.code()),
        (401, "unauthenticated".into())
    );
    assert_eq!(
        client
            .post(GET_TOKEN, "application/json", &json("x"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_client_that_waits_for_leave_is_refused_without_it() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let head = format!(
        "POST {GET_TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-refuse: yes\r\n\
         content-length: 10\r\nexpect: 100-continue\r\n\r\n"
    );
    client.write(head.as_bytes()).await;
    assert_eq!(client.read().await.status, 401);
}

#[tokio::test]
async fn the_deadline_is_the_sooner_of_the_clients_and_the_servers() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let headers = [
        ("content-type", "application/json"),
        ("connect-timeout-ms", "20"),
    ];
    let reply = client
        .send("POST", GET_TOKEN, &headers, &json("sleep"))
        .await;
    assert_eq!(
        (reply.status, reply.code()),
        (504, "deadline_exceeded".into())
    );
    assert_eq!(reply.reason(), "DEADLINE_EXCEEDED");
    let reply = client
        .post(GET_TOKEN, "application/json", &json("sleep"))
        .await;
    assert_eq!(reply.status, 504, "the server's own limit");
    let headers = [
        ("content-type", "application/json"),
        ("connect-timeout-ms", "soon"),
    ];
    let reply = client.send("POST", GET_TOKEN, &headers, &json("x")).await;
    assert_eq!(reply.code(), "invalid_argument");

    let mut client = Http2::connect(&server).await;
    let reply = client
        .grpc(GET_TOKEN, "sleep", &[("grpc-timeout", "20m")])
        .await;
    assert_eq!(reply.status(), "4");
    let reply = client.grpc(GET_TOKEN, "x", &[("grpc-timeout", "20")]).await;
    assert_eq!(reply.status(), "3");
}

#[tokio::test]
async fn a_head_out_of_bounds_is_refused_in_the_protocol_and_the_connection_lives() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let json_type = ("content-type", "application/json");
    let long = "y".repeat(17_000);
    let reply = client
        .send("POST", GET_TOKEN, &[json_type, ("x", &long)], "{}")
        .await;
    assert_eq!(
        (reply.status, reply.code()),
        (431, "resource_exhausted".into())
    );
    let many = [[json_type].as_slice(), &[("x", "y"); 80]].concat();
    assert_eq!(
        client.send("POST", GET_TOKEN, &many, "{}").await.status,
        431
    );
    let query = format!("{GET_TOKEN}?encoding=json&message={}", "z".repeat(9_000));
    let reply = client.send("GET", &query, &[], "").await;
    assert_eq!(
        (reply.status, reply.code()),
        (414, "resource_exhausted".into())
    );
    let reply = client
        .send("POST", GET_TOKEN, &[json_type, ("host", "z")], "{}")
        .await;
    assert_eq!(
        (reply.status, reply.code()),
        (400, "invalid_argument".into())
    );
    assert_eq!(
        client
            .post(GET_TOKEN, "application/json", &json("x"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn tonic_serves_health_within_the_same_bounds() {
    let server = TestServer::start().await;
    let mut client = Http2::connect(&server).await;
    let check = "/grpc.health.v1.Health/Check";
    let reply = client.grpc(check, "", &[]).await;
    assert_eq!(
        (reply.status(), &reply.headers["cache-control"]),
        ("0", &"no-store".parse().unwrap())
    );
    let reply = client.grpc(check, "no such service", &[]).await;
    assert_eq!(reply.status(), "5");
    let reply = client.grpc(check, &"x".repeat(100_000), &[]).await;
    assert_ne!(reply.status(), "0", "the body is bounded");
    let mut client = Http1::connect(&server).await;
    let reply = client.post(check, "application/proto", "").await;
    assert_eq!((reply.status, &*reply.body), (200, "\x08\x01"));
    let reply = client
        .post(check, "application/grpc-web-text", "AAAAAAA=")
        .await;
    let body = frame::from_base64(reply.body.as_bytes()).unwrap();
    assert_eq!(&body[..7], b"\0\0\0\0\x02\x08\x01");
    let reply = client.post(check, "application/proto", "\x0a\x01x").await;
    assert_eq!((reply.status, reply.code()), (404, "not_found".into()));
    let reply = client.post(check, "application/json", "{}").await;
    assert_eq!((reply.status, reply.code()), (501, "unimplemented".into()));
}

#[tokio::test]
async fn shutdown_answers_what_is_under_way_and_nothing_more() {
    let server = TestServer::start().await;
    let mut idle = Http1::connect(&server).await;
    assert_eq!(
        idle.post(GET_TOKEN, "application/json", &json("x"))
            .await
            .status,
        200
    );
    let mut busy = Http1::connect(&server).await;
    busy.write_post(GET_TOKEN, "application/json", &json("wait"))
        .await;
    server.waiting().await;
    server.begin_shutdown();
    idle.expect_close().await;
    server.release();
    assert_eq!(busy.read().await.status, 200);
    busy.expect_close().await;
    server.stopped().await;
}
