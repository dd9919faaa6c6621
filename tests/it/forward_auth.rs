//! `/forward-auth`: a reverse proxy asks whether a request may pass.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use crate::{client::HttpResponse, test_app::TestApp};

pub(crate) const PATH: &str = "/forward-auth";
const IDENTITY: [&str; 4] = [
    "x-auth-user",
    "x-auth-user-id",
    "x-auth-token-id",
    "x-auth-scopes",
];

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn ask(app: &TestApp, token: &str, query: &str) -> HttpResponse {
    let bearer = bearer(token);
    let path = format!("{PATH}{query}");
    let headers = [("authorization", &*bearer)];
    app.client.ask(Method::GET, &path, &headers).await
}

/// The identity that the proxy receives if the request may pass.
pub(crate) fn identity(reply: &HttpResponse) -> Option<[String; 4]> {
    assert_eq!(reply.head.headers["cache-control"], "no-store");
    if reply.head.status != 200 {
        let told = IDENTITY.map(|name| reply.head.headers.get(name));
        assert_eq!(told, [None; 4]);
        return None;
    }
    assert!(reply.body.is_empty());
    Some(IDENTITY.map(|name| {
        let (_, values) = reply.status_and(name);
        assert_eq!(values.len(), 1, "{name}");
        values[0].to_owned()
    }))
}

#[tokio::test]
async fn valid_token_passes_with_any_method_on_any_subpath_over_both_http_versions() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app
        .child(&alice.token, json!({ "scopes": ["read", "deploy"] }))
        .await;
    let expected = ["alice", &alice.id, &token.id, "deploy read"].map(str::to_owned);
    for path in [
        "",
        "/",
        "/any/path%20of/it",
        "/TokenService/GetToken",
        "//x?y=z&scope=read",
        // Below the path, the query is that of the checked request.
        "/x?scope=nope&scope=&unscoped=deny&at=",
        "?scope=read&at=/x?scope=nope&scopes=",
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PROPFIND",
        ] {
            for http2 in [false, true] {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("{PATH}{path}"))
                    .header("authorization", format!("Bearer {}", token.text));
                let request = request.body(Bytes::new()).unwrap();
                let reply = app.client.send(request, HeaderMap::new(), http2).await;
                assert_eq!(
                    identity(&reply).as_ref(),
                    Some(&expected),
                    "{method} {path}"
                );
            }
        }
    }
    for path in ["/forward-authority", "/forward-auth2/x", "/x/forward-auth"] {
        let reply = app.client.ask(Method::GET, path, &[]).await;
        assert_eq!(reply.head.status, 404);
    }
}

#[tokio::test]
async fn refused_head_request_has_a_length_and_no_body() {
    let app = TestApp::start().await;
    for http2 in [false, true] {
        let ask = async |method: Method| {
            let request = Request::builder().method(method).uri(PATH);
            let request = request.body(Bytes::new()).unwrap();
            app.client.send(request, HeaderMap::new(), http2).await
        };
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!([get.head.status, head.head.status], [401, 401]);
        assert!(head.body.is_empty());
        let length = get.body.len().to_string();
        assert_eq!(head.head.headers["content-length"], length);
    }
}

#[tokio::test]
async fn identity_headers_are_complete_and_overwrite_the_clients() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", app.admin.token);
    let id = &app.admin.token["hallpass_".len()..][..22];
    let forged = IDENTITY.map(|name| (name, "forged"));
    let headers = [&[("authorization", &*bearer)][..], &forged].concat();
    let reply = app.client.ask(Method::GET, PATH, &headers).await;
    let expected = ["admin", &app.admin.id, id, ""].map(str::to_owned);
    assert_eq!(identity(&reply), Some(expected), "even where it is empty");
    let reply = app.client.ask(Method::GET, PATH, &forged).await;
    assert_eq!(identity(&reply), None);
}

#[tokio::test]
async fn bad_token_is_401_and_only_its_holder_is_told_why() {
    let app = TestApp::start().await;
    for bad in app.bad_tokens().await {
        for query in ["", "?scope=deploy"] {
            let reply = ask(&app, &bad.text, query).await;
            let challenge = format!(
                "Bearer realm=\"hallpass\", error=\"invalid_token\", error_description=\"{}\"",
                bad.told
            );
            let got = reply.status_and("www-authenticate");
            assert_eq!(got, (401, vec![&*challenge]), "{}", bad.reason);
            let error = json!({ "error": "invalid_token", "error_description": bad.told });
            assert_eq!(reply.json(), error);
            assert_eq!(identity(&reply), None);
        }
    }
}

#[tokio::test]
async fn all_scopes_of_all_parameters_are_required() {
    let app = TestApp::start().await;
    let token = app
        .child(&app.admin.token, json!({ "scopes": ["a", "b:c"] }))
        .await;
    for (query, status) in [
        ("?scope=a", 200),
        ("?scope=a&scope=b:c", 200),
        ("?scope=a%20b%3Ac&at=/original?scope=d&scope=e", 200),
        ("?scope=a&scope=d", 403),
        ("?scope=d+a", 403),
        ("?scope=d&at=/original&scope=a", 403),
        ("?scope=", 400),
        ("?scope=a&scope=", 400),
        ("?scope", 400),
        ("?scope=A", 400),
        ("?scope=hallpass:nonsense", 400),
    ] {
        let reply = ask(&app, &token.text, query).await;
        assert_eq!(reply.head.status, status, "{query}");
        assert_eq!(identity(&reply).is_some(), status == 200);
        let unlimited = ask(&app, &app.admin.token, query).await;
        let passes = if status == 403 { 200 } else { status };
        assert_eq!(unlimited.head.status, passes, "{query}");
        match status {
            400 => assert_eq!(reply.json()["error"], "invalid_request"),
            403 => {
                let (_, challenge) = reply.status_and("www-authenticate");
                let begin = "Bearer realm=\"hallpass\", error=\"insufficient_scope\", scope=\"";
                assert!(challenge[0].starts_with(begin), "{challenge:?}");
                assert!(challenge[0].contains('d'));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn unknown_parameter_is_refused_and_nothing_passes() {
    let app = TestApp::start().await;
    for (query, told) in [
        ("?scopes=app", "did you mean \"scope\"?"),
        ("?scope=app&required_scope=b", "did you mean \"scope\"?"),
        ("?unscope=deny", "did you mean \"unscoped\"?"),
        ("?x=/original", "there is no parameter \"x\" here"),
        ("?unscoped=yes", "unscoped: must be \"deny\""),
        (
            "?unscoped=deny&unscoped=deny",
            "unscoped: must not be repeated",
        ),
        ("?at", "at: must be written \"at=\""),
    ] {
        let reply = ask(&app, &app.admin.token, query).await;
        assert_eq!(reply.head.status, 400, "{query}");
        assert_eq!(identity(&reply), None);
        let error = reply.json();
        assert_eq!(error["error"], "invalid_request");
        let description = error["error_description"].as_str().unwrap();
        assert!(description.contains(told), "{query}: {description}");
    }
}

#[tokio::test]
async fn unscoped_token_does_not_pass_where_denied() {
    let app = TestApp::start().await;
    let token = app
        .child(&app.admin.token, json!({ "scopes": ["a"] }))
        .await;
    for (query, challenge) in [
        ("?unscoped=deny&scope=a", ", scope=\"a\""),
        ("?unscoped=deny", ""),
    ] {
        assert!(identity(&ask(&app, &token.text, query).await).is_some());
        let reply = ask(&app, &app.admin.token, query).await;
        let expected =
            format!("Bearer realm=\"hallpass\", error=\"insufficient_scope\"{challenge}");
        let got = reply.status_and("www-authenticate");
        assert_eq!(got, (403, vec![&*expected]), "{query}");
    }
    let control = ask(&app, &app.admin.token, "?scope=a").await;
    assert!(
        identity(&control).is_some(),
        "it passes where unscoped tokens are allowed"
    );
}

#[tokio::test]
async fn networks_apply_to_the_address_named_by_trusted_proxies() {
    let trusted = vec!["127.0.0.0/8".parse().unwrap()];
    let app = TestApp::start_with(|settings| settings.server.trusted_proxies = trusted).await;
    let token = json!({ "allowedCidrs": ["10.0.0.0/8"] });
    let token = app.child(&app.admin.token, token).await;
    let bearer = format!("Bearer {}", token.text);
    for (forwarded, passes) in [
        ("10.1.2.3", true),
        ("192.0.2.1, 10.1.2.3", true),
        ("10.1.2.3, 192.0.2.1", false),
        ("10.1.2.3, 127.0.0.1", true),
        ("10.1.2.3, nonsense", false),
        ("192.0.2.1", false),
    ] {
        let headers = [("authorization", &*bearer), ("x-forwarded-for", forwarded)];
        let reply = app.client.ask(Method::GET, PATH, &headers).await;
        assert_eq!(identity(&reply).is_some(), passes, "{forwarded}");
    }
}

#[tokio::test]
async fn store_failure_is_503_and_nothing_passes() {
    let app = TestApp::start().await;
    let damage = "ALTER TABLE tokens RENAME TO hidden";
    app.sql().execute_batch(damage).unwrap();
    let reply = ask(&app, &app.admin.token, "").await;
    assert_eq!(reply.head.status, 503);
    assert_eq!(identity(&reply), None);
    let repair = "ALTER TABLE hidden RENAME TO tokens";
    app.sql().execute_batch(repair).unwrap();
    assert!(identity(&ask(&app, &app.admin.token, "").await).is_some());
}

/// A successful preflight would let the actual request pass.
#[tokio::test]
async fn forwarded_preflight_is_verified_like_any_request() {
    for origin in ["*", "https://app.example"] {
        let origins = vec![origin.to_owned()];
        let app = TestApp::start_with(|settings| settings.server.cors_origins = origins).await;
        let headers = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        for (path, status) in [
            ("/forward-auth", 401),
            ("/forward-auth/x", 401),
            ("/oauth2/introspect", 405),
        ] {
            let reply = app.client.ask(Method::OPTIONS, path, &headers).await;
            assert_eq!(reply.head.status, status, "{path}");
            let cors = reply
                .head
                .headers
                .keys()
                .find(|name| name.as_str().starts_with("access-control"));
            assert_eq!(cors, None);
        }
    }
}

/// Sends requests on one connection; `body` may be shorter than the heads announce.
async fn exchange(socket: &mut TcpStream, head: &str, body: &[u8]) -> String {
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let (mut reply, mut bytes) = (String::new(), [0; 1024]);
    while !reply.contains("\r\n\r\n") {
        let read = time::timeout(Duration::from_mins(1), socket.read(&mut bytes));
        let read = read.await.unwrap().unwrap();
        assert!(read > 0, "closed: {reply}");
        reply.push_str(str::from_utf8(&bytes[..read]).unwrap());
    }
    reply.to_ascii_lowercase()
}

fn head(app: &TestApp, more: &str) -> String {
    let token = &app.admin.token;
    format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{more}\r\n\r\n")
}

#[tokio::test]
async fn forwarded_body_is_discarded_and_the_connection_stays_open() {
    let app = TestApp::start_with(|settings| {
        // So that a slow machine does not matter.
        settings.server.limits.forwarded_body_timeout = Duration::from_mins(1);
    })
    .await;
    let mut socket = TcpStream::connect(app.client.server).await.unwrap();
    for content_type in [
        "text/plain",
        "application/json",
        "application/grpc",
        "application/grpc-web",
    ] {
        for length in [1, 1_000, 1_000_000] {
            let more = format!("content-type: {content_type}\r\ncontent-length: {length}");
            let reply = exchange(&mut socket, &head(&app, &more), &vec![b'x'; length]).await;
            assert!(
                reply.starts_with("http/1.1 200"),
                "{content_type} {length}: {reply}"
            );
            assert!(!reply.contains("connection: close"), "{reply}");
        }
        let more = format!("content-type: {content_type}\r\ntransfer-encoding: chunked");
        let reply = exchange(&mut socket, &head(&app, &more), b"3\r\nabc\r\n0\r\n\r\n").await;
        assert!(reply.starts_with("http/1.1 200"), "{content_type}: {reply}");
    }
}

#[tokio::test]
async fn forwarded_http2_body_is_discarded_without_waiting_for_a_continue() {
    let app = TestApp::start().await;
    let post = |expect: bool| {
        let request = Request::post(PATH).header("authorization", bearer(&app.admin.token));
        let request = if expect {
            request.header("expect", "100-continue")
        } else {
            request
        };
        request.body(Bytes::from(vec![b'x'; 1_000_000])).unwrap()
    };
    for _ in 0..3 {
        let reply = app.client.send(post(false), HeaderMap::new(), true).await;
        assert!(identity(&reply).is_some());
        let reply = app.client.send(post(true), HeaderMap::new(), false).await;
        assert!(identity(&reply).is_some());
    }
}

/// As a proxy does that forwards `Content-Length` but not the body.
#[tokio::test]
async fn announced_body_that_never_comes_does_not_delay_the_response() {
    let app = TestApp::start_with(|settings| {
        // Only a server that waits for the body takes this long.
        settings.server.limits.drain_timeout = Duration::from_mins(10);
        settings.server.limits.body_timeout = Duration::from_mins(10);
    })
    .await;
    let mut socket = TcpStream::connect(app.client.server).await.unwrap();
    let reply = exchange(&mut socket, &head(&app, "content-length: 1000"), b"").await;
    assert!(reply.starts_with("http/1.1 200"), "{reply}");
    assert!(reply.contains("connection: close"), "{reply}");
}
