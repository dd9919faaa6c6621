//! `/metrics`: the counters in both formats; no label contains client input.

use std::{
    collections::BTreeSet,
    io::{BufRead, Read, Write},
    net::TcpStream,
};

use http::Method;
use serde_json::json;

use crate::{
    cli::sandbox::Sandbox,
    client::{Call, Codec, Protocol, Wire},
    test_app::{ADMIN_PASSWORD, TestApp},
};

async fn with_metrics() -> TestApp {
    TestApp::start_with(|settings| {
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await
}

async fn scrape(app: &TestApp, accept: &[(&str, &str)]) -> (String, String) {
    let reply = app.metrics().ask(Method::GET, "/metrics", accept).await;
    assert_eq!(reply.head.status, 200);
    let content_type = reply.head.headers["content-type"].to_str().unwrap();
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    (content_type.to_owned(), text)
}

/// The value of the sample with this name and labels; 0 if absent.
fn sample(text: &str, name: &str) -> f64 {
    let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(sample, _)| *sample == name);
    found.map_or(0.0, |(_, value)| value.parse().unwrap())
}

/// How often a limit of the server was reached, with this outcome.
pub(crate) async fn load_shed(app: &TestApp, bound: &str, outcome: &str) -> f64 {
    let (_, text) = scrape(app, &[]).await;
    let name = format!("hallpass_load_shed_total{{bound=\"{bound}\",outcome=\"{outcome}\"}}");
    assert!(text.contains(&name), "{name} is there from the start");
    sample(&text, &name)
}

#[tokio::test]
async fn calls_are_counted_by_procedure_protocol_and_code() {
    let app = with_metrics().await;
    let get = "hallpass.v1.TokenService/GetToken";
    for wire in [Wire::CURL, Wire::new(Protocol::Grpc, Codec::Proto)] {
        for _ in 0..3 {
            let call = Call::new(get, json!({ "tokenId": "x" }));
            let answer = app.client.call(wire, call.bearer(&app.admin.token)).await;
            answer.refused("not_found", "TOKEN_NOT_FOUND");
        }
    }
    app.client.ask(Method::GET, "/healthz", &[]).await;
    app.client.ask(Method::GET, "/.env?token=x", &[]).await;
    let (_, text) = scrape(&app, &[]).await;
    for (name, expected) in [
        (
            r#"{procedure="hallpass.v1.TokenService/GetToken",protocol="connect",code="not_found"}"#,
            3.0,
        ),
        (
            r#"{procedure="hallpass.v1.TokenService/GetToken",protocol="grpc",code="not_found"}"#,
            3.0,
        ),
        (
            r#"{procedure="hallpass.v1.TokenService/CreateToken",protocol="connect",code="ok"}"#,
            1.0,
        ),
        (r#"{procedure="/healthz",protocol="http",code="200"}"#, 1.0),
        (r#"{procedure="other",protocol="http",code="404"}"#, 1.0),
    ] {
        let name = format!("hallpass_requests_total{name}");
        assert!(
            (sample(&text, &name) - expected).abs() < 0.5,
            "{name}\n{text}"
        );
    }
    let slowest = r#"hallpass_request_duration_seconds_bucket{le="+Inf",procedure="hallpass.v1.TokenService/GetToken"}"#;
    assert!((sample(&text, slowest) - 6.0).abs() < 0.5, "{text}");
}

#[tokio::test]
async fn tokens_passwords_and_verifications_are_counted_by_result() {
    let app = with_metrics().await;
    let alice = app.person("alice").await;
    let verify = |token: &str| {
        app.call(
            &app.admin.token,
            "TokenService/VerifyToken",
            json!({ "token": token }),
        )
    };
    verify(&alice.token).await.ok();
    verify("nonsense").await.ok();
    for bearer in ["", "nonsense"] {
        let call = app.call(bearer, "AuthnService/GetCurrentUser", json!({}));
        assert!(call.await.result.is_err());
    }
    // The right password of a user who may not sign in counts as a wrong one.
    let bob = app.person("bob").await;
    let id = json!({ "id": bob.id });
    let deactivate = app.call(&app.admin.token, "UserService/DeactivateUser", id);
    deactivate.await.ok();
    for (username, password) in [("alice", "wrong"), ("bob", &bob.password)] {
        let message = json!({ "username": username, "password": password });
        let refused = app.call("", "TokenService/CreateToken", message).await;
        assert!(refused.result.is_err(), "{username}");
    }

    let (_, text) = scrape(&app, &[]).await;
    for (name, least) in [
        (r#"hallpass_verifications_total{result="valid"}"#, 1.0),
        (
            r#"hallpass_verifications_total{result="CREDENTIALS_INVALID"}"#,
            1.0,
        ),
        (r#"hallpass_authentications_total{result="ok"}"#, 2.0),
        (
            r#"hallpass_authentications_total{result="CREDENTIALS_MISSING"}"#,
            1.0,
        ),
        (
            r#"hallpass_authentications_total{result="CREDENTIALS_INVALID"}"#,
            1.0,
        ),
        (r#"hallpass_sign_ins_total{result="ok"}"#, 2.0),
        (
            r#"hallpass_sign_ins_total{result="CREDENTIALS_INVALID"}"#,
            2.0,
        ),
        ("hallpass_store_commit_seconds_count", 3.0),
        ("hallpass_store_commit_writes_count", 3.0),
        (r#"hallpass_store_queue_seconds_count{queue="read"}"#, 1.0),
        (r#"hallpass_store_queue_seconds_count{queue="lookup"}"#, 3.0),
        (r#"hallpass_store_queue_seconds_count{queue="write"}"#, 3.0),
    ] {
        assert!(sample(&text, name) >= least, "{name}\n{text}");
    }
}

#[tokio::test]
async fn stored_tokens_are_counted_by_state() {
    let app = with_metrics().await;
    let alice = app.person("alice").await;
    for set in ["disabled = 1", "expire_time = 1", "delete_time = 1"] {
        let token = app.child(&alice.token, json!({})).await;
        let sql = format!("UPDATE tokens SET {set} WHERE id = ?1");
        app.sql().execute(&sql, [&token.id]).unwrap();
    }
    let (_, text) = scrape(&app, &[]).await;
    for (state, count) in [
        ("active", 2.0),
        ("disabled", 1.0),
        ("expired", 1.0),
        ("deleted", 1.0),
    ] {
        let name = format!("hallpass_tokens{{state=\"{state}\"}}");
        assert!((sample(&text, &name) - count).abs() < 0.5, "{name}\n{text}");
    }
}

#[tokio::test]
async fn openmetrics_is_served_on_request_and_both_formats_agree() {
    let app = with_metrics().await;
    let (plain_type, plain) = scrape(&app, &[]).await;
    assert_eq!(plain_type, "text/plain; version=0.0.4; charset=utf-8");
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let (open_type, open) = scrape(&app, &[("accept", accept)]).await;
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open_type, expected);
    assert!(open.ends_with("# EOF\n"));
    let samples = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    assert_eq!(samples(&plain), samples(&open));
    let version = concat!(
        "hallpass_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    assert!((sample(&plain, version) - 1.0).abs() < 0.5, "{plain}");
}

#[tokio::test]
async fn client_input_never_appears_in_metrics() {
    let app = with_metrics().await;
    let alice = app.person("alice").await;
    app.call(
        &alice.token,
        "UserService/GetUserByUsername",
        json!({ "username": "canary-name" }),
    )
    .await;
    app.client
        .ask(
            Method::GET,
            "/canary-path",
            &[("user-agent", "canary-agent")],
        )
        .await;
    app.client
        .ask(Method::POST, "/CanaryService/CanaryMethod", &[])
        .await;
    let (_, text) = scrape(&app, &[]).await;
    for secret in [
        &alice.token,
        &alice.id,
        ADMIN_PASSWORD,
        "canary",
        "Canary",
        "alice",
        "127.0.0.1",
    ] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    assert!(text.contains("GetUserByUsername"), "the control is found");
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_thousand_random_paths_add_no_series() {
    let app = with_metrics().await;
    let address = app.client.server;
    let clients = (0..8).map(|client| {
        tokio::task::spawn_blocking(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            let mut buffer = vec![0; 64 * 1_024];
            for n in 0..125 {
                let request =
                    |m| format!("GET /{client}/{n}/{m} HTTP/1.1\r\nHost: hallpass\r\n\r\n");
                let requests = (0..100).map(request).collect::<Vec<_>>().concat();
                socket.write_all(requests.as_bytes()).unwrap();
                let mut replies = String::new();
                while replies.matches("HTTP/1.1 404").count() < 100 {
                    let read = socket.read(&mut buffer).unwrap();
                    assert!(read > 0, "closed");
                    replies.push_str(str::from_utf8(&buffer[..read]).unwrap());
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let (_, text) = scrape(&app, &[]).await;
    let other = r#"hallpass_requests_total{procedure="other",protocol="http",code="404"}"#;
    assert!(sample(&text, other) >= 99_900.0, "{text}");
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!((50..2_000).contains(&series), "{series}");
}

#[test]
fn metrics_have_their_own_address() {
    let sandbox = Sandbox::empty();
    let mut serving = sandbox.serve(&["--metrics-listen=127.0.0.1:0"]);
    let mut line = String::new();
    serving.stdout.read_line(&mut line).unwrap();
    let url = line
        .strip_prefix("hallpass metrics on http://")
        .unwrap()
        .trim_end();
    let (metrics, path) = url.split_once('/').unwrap();
    assert_eq!(path, "metrics");
    let get = |address: &str, path: &str| {
        let mut socket = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply
    };
    assert!(get(metrics, "/metrics").contains("hallpass_build_info"));
    assert!(get(metrics, "/").starts_with("HTTP/1.1 404"));
    assert!(get(&serving.address, "/metrics").starts_with("HTTP/1.1 404"));
    let metrics = metrics.to_owned();
    serving.stop();
    assert!(TcpStream::connect(metrics).is_err());
}
