//! Which origins' pages may call.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};

use crate::{client::HttpResponse, test_app::TestApp};

const LISTED: &str = "https://app.example";
const LIST: &str = "/hallpass.v1.TokenService/ListTokens";

async fn with_origins(origins: &[&str]) -> TestApp {
    let origins = origins.iter().map(ToString::to_string).collect();
    TestApp::start_with(|settings| settings.server.cors_origins = origins).await
}

async fn preflight(app: &TestApp, origin: &str) -> HeaderMap {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,connect-protocol-version",
        ),
    ];
    let reply = app.client.ask(Method::OPTIONS, LIST, &headers).await;
    // Without listed origins preflights are not served, which browsers treat as a refusal.
    let allowed = reply.head.headers.contains_key(ALLOW);
    assert!(reply.head.status.is_success() || !allowed);
    reply.head.headers
}

async fn post(app: &TestApp, origin: &str, path: &str, message: Value) -> HttpResponse {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("origin", origin)
        .header("authorization", format!("Bearer {}", app.admin.token))
        .body(Bytes::from(message.to_string()))
        .unwrap();
    app.client.send(request, HeaderMap::new(), false).await
}

const ALLOW: &str = "access-control-allow-origin";

#[tokio::test]
async fn listed_origin_is_allowed_and_may_read_what_clients_need() {
    let app = with_origins(&[LISTED]).await;
    let headers = preflight(&app, LISTED).await;
    assert_eq!(headers[ALLOW], LISTED);
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    for name in [
        "authorization",
        "content-type",
        "connect-protocol-version",
        "x-grpc-web",
    ] {
        assert!(allowed.contains(name), "{name}");
    }
    let methods = headers["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("POST") && methods.contains("GET"));
    assert_eq!(headers.get("access-control-allow-credentials"), None);

    let reply = post(&app, LISTED, LIST, json!({})).await;
    assert_eq!(reply.head.status, 200);
    assert_eq!(reply.head.headers[ALLOW], LISTED);
    let exposed = reply.head.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    for name in ["grpc-status", "grpc-message", "retry-after", "x-request-id"] {
        assert!(exposed.contains(name), "{name}");
    }
    let error = post(
        &app,
        LISTED,
        "/hallpass.v1.TokenService/GetToken",
        json!({}),
    )
    .await;
    assert_eq!(
        (error.head.status.as_u16(), &error.head.headers[ALLOW]),
        (400, &LISTED.parse().unwrap())
    );
}

#[tokio::test]
async fn pages_may_send_tracing_headers_and_configured_headers() {
    let app = TestApp::start_with(|settings| {
        settings.server.cors_origins = vec![LISTED.to_owned()];
        settings.server.cors_headers = vec!["x-tenant".parse().unwrap()];
    })
    .await;
    let headers = preflight(&app, LISTED).await;
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    let allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
    for name in [
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "x-tenant",
    ] {
        assert!(allowed.contains(&name), "{name}");
    }
    for name in ["cookie", "x-forwarded-for", "x-other"] {
        assert!(!allowed.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn foreign_origin_gets_no_allow_header() {
    for origins in [&[][..], &[LISTED]] {
        let app = with_origins(origins).await;
        for foreign in [
            "https://evil.example",
            "null",
            "https://app.example.evil.example",
        ] {
            assert_eq!(preflight(&app, foreign).await.get(ALLOW), None);
            let reply = post(&app, foreign, LIST, json!({})).await;
            assert_eq!(reply.head.headers.get(ALLOW), None);
        }
    }
}

#[tokio::test]
async fn with_a_wildcard_only_passwords_need_a_listed_origin() {
    let app = with_origins(&["*", LISTED]).await;
    let any = "https://anyone.example";
    assert_eq!(preflight(&app, any).await[ALLOW], "*");
    assert_eq!(post(&app, any, LIST, json!({})).await.head.status, 200);
    let password = &app.admin.password;
    let sign_in = json!({ "username": "admin", "password": password });
    let create_user = json!({ "username": "alice", "password": "vexed marmots juggle" });
    let set_password = json!({ "oldPassword": password, "newPassword": "vexed marmots juggle" });
    for (procedure, message) in [
        ("/hallpass.v1.TokenService/CreateToken", sign_in),
        ("/hallpass.v1.UserService/CreateUser", create_user),
        ("/hallpass.v1.UserService/SetPassword", set_password),
    ] {
        let refused = post(&app, any, procedure, message.clone()).await;
        assert_eq!(refused.head.status, 403, "{procedure}");
        let listed = post(&app, LISTED, procedure, message).await;
        assert_eq!(listed.head.status, 200, "{procedure}");
    }
    let machine = json!({ "username": "robot", "userType": "USER_TYPE_MACHINE" });
    let machine = post(&app, any, "/hallpass.v1.UserService/CreateUser", machine).await;
    assert_eq!(machine.head.status, 200, "a token needs no listed origin");
}
