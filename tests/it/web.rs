//! Endpoints beside the procedures: the page, the probes, and the header fields of every response.

use http::Method;
use serde_json::json;

use crate::{
    client::{Call, Wire},
    test_app::TestApp,
};

#[tokio::test]
async fn page_is_served_with_a_strict_content_security_policy() {
    let app = TestApp::start().await;
    let page = app.client.ask(Method::GET, "/", &[]).await;
    assert_eq!(page.head.status, 200);
    let headers = &page.head.headers;
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(headers.contains_key("etag"));
    let etag = headers["etag"].to_str().unwrap();
    let known = [("if-none-match", etag)];
    let again = app.client.ask(Method::GET, "/", &known).await;
    assert_eq!(again.head.status, 304);
    assert!(page.body.starts_with(b"<!doctype html>") || page.body.starts_with(b"<!DOCTYPE html>"));
}

#[tokio::test]
async fn probes_distinguish_liveness_and_readiness() {
    let app = TestApp::start().await;
    for (path, word) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = app.client.ask(Method::GET, path, &[]).await;
        assert_eq!(
            (reply.head.status.as_u16(), &reply.body[..]),
            (200, word.as_bytes())
        );
    }
    app.sql()
        .execute_batch("ALTER TABLE meta RENAME TO hidden")
        .unwrap();
    let alive = app.client.ask(Method::GET, "/healthz", &[]).await;
    assert_eq!(alive.head.status, 200);
    let not_ready = app.client.ask(Method::GET, "/readyz", &[]).await;
    assert_eq!(
        (not_ready.head.status.as_u16(), &not_ready.body[..]),
        (503, &b"not ready"[..])
    );
    app.sql()
        .execute_batch("ALTER TABLE hidden RENAME TO meta")
        .unwrap();
    assert_eq!(
        app.client
            .ask(Method::GET, "/readyz", &[])
            .await
            .head
            .status,
        200
    );
}

#[tokio::test]
async fn every_response_has_our_request_id_and_nosniff() {
    let app = TestApp::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/nothing-here"),
        (Method::POST, "/healthz"),
        (Method::DELETE, "/hallpass.v1.TokenService/GetToken"),
        (Method::GET, "/hallpass.v1.TokenService/CreateToken"),
        (Method::OPTIONS, "/hallpass.v1.TokenService/GetToken"),
        (Method::GET, "/grpc.health.v1.Health/Check"),
    ] {
        let headers = [("x-request-id", "mine")];
        let reply = app.client.ask(method.clone(), path, &headers).await;
        let id = reply.head.headers["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(id.len(), 22, "{method} {path}");
        assert!(seen.insert(id), "{method} {path}");
        assert_eq!(reply.head.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn unknown_page_is_a_text_404_and_calls_are_never_cached() {
    let app = TestApp::start().await;
    let missing = app
        .client
        .ask(Method::GET, "/oauth2/device/code", &[])
        .await;
    assert_eq!(missing.head.status, 404);
    let content_type = missing.head.headers.get("content-type");
    let json = content_type.is_some_and(|value| value.to_str().unwrap().contains("json"));
    assert!(
        !json,
        "clients derive the code from the status only if the body is not JSON"
    );
    for token in ["", &app.admin.token] {
        let call = Call::new("TokenService/ListTokens", json!({}));
        let call = if token.is_empty() {
            call
        } else {
            call.bearer(token)
        };
        for wire in Wire::ALL {
            let answer = app.client.call(wire, call.clone()).await;
            assert_eq!(answer.headers["cache-control"], "no-store", "{wire:?}");
        }
    }
}
