//! What is refused, cut short or drained, and that the connection survives it.

use super::{GET_TOKEN, json};
use super::{http1::Http1, http2::Http2, server::TestServer};

#[tokio::test]
async fn refused_body_is_drained_so_that_the_refusal_arrives_and_the_connection_stays_open() {
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
    let unauthenticated = [("authorization", "x")];
    let reply = client
        .send("POST", GET_TOKEN, &unauthenticated, &large)
        .await;
    assert_eq!(reply.status, 415);
    let unauthenticated = [("authorization", "x"), ("content-type", "application/json")];
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
async fn client_that_expects_continue_is_refused_without_it() {
    let server = TestServer::start().await;
    let mut client = Http1::connect(&server).await;
    let head = format!(
        "POST {GET_TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: x\r\n\
         content-length: 10\r\nexpect: 100-continue\r\n\r\n"
    );
    client.write(head.as_bytes()).await;
    assert_eq!(client.read().await.status, 401);
}

#[tokio::test]
async fn deadline_is_the_earlier_of_the_clients_and_the_servers() {
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
async fn oversized_head_is_refused_in_the_protocol_and_the_connection_stays_open() {
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
async fn reflection_is_served_within_the_same_limits() {
    let server = TestServer::start().await;
    let mut client = Http2::connect(&server).await;
    let info = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let reply = client.grpc(info, "", &[]).await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    // It ends; tonic does not say why.
    client.grpc(info, &"x".repeat(100_000), &[]).await;
    let mut client = Http1::connect(&server).await;
    for content_type in ["application/proto", "application/grpc-web+json"] {
        let reply = client.post(info, content_type, "").await;
        assert_ne!(reply.header("grpc-status"), Some("0"), "{content_type}");
    }
    let reply = client.post(info, "application/json", "{}").await;
    assert_eq!((reply.status, reply.code()), (501, "unimplemented".into()));
}

#[tokio::test]
async fn shutdown_answers_requests_in_flight_and_no_others() {
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
