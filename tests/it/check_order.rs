//! The order of checks: transport, authentication, body, authorisation, fields, state, quota. A request that
//! fails two of them gets the error of the earlier one.

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::{client::HttpResponse, test_app::TestApp};

const CREATE: &str = "TokenService/CreateToken";
const GET: &str = "TokenService/GetToken";

async fn raw(app: &TestApp, procedure: &str, token: &str, body: &str) -> (u16, Value) {
    let mut request = Request::post(format!("/hallpass.v1.{procedure}"))
        .header("content-type", "application/json");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Bytes::copy_from_slice(body.as_bytes()));
    let reply: HttpResponse = app
        .client
        .send(request.unwrap(), HeaderMap::new(), false)
        .await;
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.head.status.as_u16(), error["code"].clone())
}

#[tokio::test]
async fn declared_length_comes_before_authentication_and_that_before_the_body() {
    let app = TestApp::start().await;
    let large = format!("{{\"tokenId\":\"{}\"}}", "x".repeat(70_000));
    let exhausted = (429, "resource_exhausted".into());
    assert_eq!(raw(&app, GET, "", &large).await, exhausted);
    assert_eq!(raw(&app, CREATE, "", &large).await, exhausted);
    let unauthenticated = (401, "unauthenticated".into());
    assert_eq!(raw(&app, GET, "", "nonsense").await, unauthenticated);
    assert_eq!(raw(&app, GET, "bad", "nonsense").await, unauthenticated);
    let invalid = (400, "invalid_argument".into());
    assert_eq!(raw(&app, GET, &app.admin.token, "nonsense").await, invalid);
    assert_eq!(raw(&app, GET, &app.admin.token, "").await, invalid);
}

#[tokio::test]
async fn only_create_token_reads_its_body_before_authenticating() {
    let app = TestApp::start().await;
    let invalid = (400, "invalid_argument".into());
    assert_eq!(raw(&app, CREATE, "", "nonsense").await, invalid);
    assert_eq!(raw(&app, CREATE, "bad", "nonsense").await, invalid);
    assert_eq!(raw(&app, CREATE, "bad", "{}").await.0, 401);
}

#[tokio::test]
async fn authorisation_comes_before_fields() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let foreign = json!({ "userId": bob.id, "note": "a\nb", "expireTime": "1970-01-01T00:00:00Z" });
    let answer = app.call(&alice.token, CREATE, foreign).await;
    answer.refused("permission_denied", "PERMISSION_DENIED");

    let limited = app.sign_in(&alice, json!({ "scopes": ["deploy"] })).await;
    let child = app.child(&alice.token, json!({})).await;
    for (token, procedure, message, reason) in [
        (&limited.text, GET, json!({}), "SCOPE_MISSING"),
        (
            &limited.text,
            "TokenService/DeleteToken",
            json!({}),
            "SCOPE_MISSING",
        ),
        (
            &limited.text,
            CREATE,
            json!({ "note": "\n" }),
            "SCOPE_MISSING",
        ),
        (
            &limited.text,
            "TokenService/ListTokens",
            json!({ "pageToken": "nonsense" }),
            "SCOPE_MISSING",
        ),
        (
            &limited.text,
            "UserService/GetUser",
            json!({}),
            "SCOPE_MISSING",
        ),
        (
            &child.text,
            CREATE,
            json!({ "note": "\n" }),
            "LINEAGE_TOO_DEEP",
        ),
        (
            &alice.token,
            "UserService/CreateUser",
            json!({ "username": "no!", "password": "short" }),
            "PERMISSION_DENIED",
        ),
        (
            &alice.token,
            "UserService/UpdateUserServerRole",
            json!({ "serverRole": 99 }),
            "PERMISSION_DENIED",
        ),
        (
            &alice.token,
            "TokenService/ListTokens",
            json!({ "userId": bob.id, "pageToken": "nonsense" }),
            "PERMISSION_DENIED",
        ),
        (
            &alice.token,
            "AuditService/ListAuditEvents",
            json!({ "pageToken": "nonsense" }),
            "PERMISSION_DENIED",
        ),
    ] {
        let answer = app.call(token, procedure, message).await;
        answer.refused("permission_denied", reason);
    }
}

#[tokio::test]
async fn fields_come_before_state() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let deactivate = app.call(
        &alice.token,
        "UserService/DeactivateUser",
        json!({ "id": robot.id }),
    );
    deactivate.await.ok();
    for (field, key, bad) in [
        ("note", "note", json!("a\nb")),
        ("scopes", "scopes", json!(["A"])),
        ("allowed_cidrs", "allowedCidrs", json!(["here"])),
        ("expire_time", "expireTime", json!("1970-01-01T00:00:00Z")),
    ] {
        let message = json!({ "userId": robot.id, key: bad });
        let answer = app.call(&alice.token, CREATE, message).await;
        answer.invalid_field(field);
    }
    let message = json!({ "userId": robot.id });
    let answer = app.call(&alice.token, CREATE, message).await;
    answer.refused("failed_precondition", "TARGET_DEACTIVATED");

    let admin = &app.admin.token;
    let message = json!({ "userId": robot.id, "newPassword": "short" });
    let answer = app.call(admin, "UserService/SetPassword", message).await;
    answer.invalid_field("new_password");
    let message = json!({ "userId": robot.id, "newPassword": "vexed marmots juggle" });
    let answer = app.call(admin, "UserService/SetPassword", message).await;
    answer.refused("failed_precondition", "WRONG_USER_TYPE");
    let message = json!({ "userId": alice.id });
    let answer = app.call(admin, "UserService/SetOwner", message).await;
    answer.invalid_field("owner_id");
    let message = json!({ "userId": alice.id, "ownerId": app.admin.id });
    let answer = app.call(admin, "UserService/SetOwner", message).await;
    answer.refused("failed_precondition", "WRONG_USER_TYPE");
    let message = json!({ "userId": app.admin.id, "serverRole": 99 });
    let answer = app.call(admin, "UserService/UpdateUserServerRole", message);
    answer.await.invalid_field("server_role");
}

#[tokio::test]
async fn state_comes_before_quota() {
    let app = TestApp::start_with(|settings| settings.app.max_tokens_per_user = 1).await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let message = json!({ "userId": robot.id });
    let full = app.call(&alice.token, CREATE, message.clone()).await;
    full.refused("resource_exhausted", "TOO_MANY_TOKENS");
    let deactivate = app.call(
        &alice.token,
        "UserService/DeactivateUser",
        json!({ "id": robot.id }),
    );
    deactivate.await.ok();
    let answer = app.call(&alice.token, CREATE, message).await;
    answer.refused("failed_precondition", "TARGET_DEACTIVATED");
}
