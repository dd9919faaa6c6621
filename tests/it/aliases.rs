//! The aliases of our services: the same procedures under other package names.

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::test_app::TestApp;

async fn post(app: &TestApp, path: &str, message: &Value) -> (u16, Value) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", app.admin.token))
        .body(Bytes::from(message.to_string()))
        .unwrap();
    let reply = app.client.send(request, HeaderMap::new(), false).await;
    let body = serde_json::from_slice(&reply.body).unwrap();
    (reply.head.status.as_u16(), body)
}

#[tokio::test]
async fn aliases_behave_like_the_canonical_procedures() {
    let app = TestApp::start().await;
    let message = json!({ "userId": app.admin.id, "id": app.admin.id });
    for (canonical, prefixes) in [
        (
            "TokenService/ListTokens",
            &[
                "",
                "buf.alpha.registry.v1alpha1.",
                "bufman.alpha.registry.v1alpha1.",
            ][..],
        ),
        (
            "TokenService/GetToken",
            &[
                "",
                "buf.alpha.registry.v1alpha1.",
                "bufman.alpha.registry.v1alpha1.",
            ],
        ),
        (
            "UserService/GetUser",
            &[
                "buf.alpha.registry.v1alpha1.",
                "bufman.alpha.registry.v1alpha1.",
            ],
        ),
        (
            "AuthnService/GetCurrentUser",
            &[
                "buf.alpha.registry.v1alpha1.",
                "bufman.alpha.registry.v1alpha1.",
            ],
        ),
    ] {
        let expected = post(&app, &format!("/hallpass.v1.{canonical}"), &message).await;
        for prefix in prefixes {
            let got = post(&app, &format!("/{prefix}{canonical}"), &message).await;
            assert_eq!(got, expected, "{prefix}{canonical}");
        }
    }
}

#[tokio::test]
async fn unknown_service_names_are_unimplemented() {
    let app = TestApp::start().await;
    for path in [
        "/UserService/GetUser",
        "/AuthnService/GetCurrentUser",
        "/hallpass.v1.TokenService/Nothing",
        "/hallpass.v2.TokenService/GetToken",
        "/hallpass.v1.TokenService/gettoken",
    ] {
        let (status, error) = post(&app, path, &json!({})).await;
        assert_eq!(
            (status, &error["code"]),
            (404, &json!("unimplemented")),
            "{path}"
        );
    }
}
