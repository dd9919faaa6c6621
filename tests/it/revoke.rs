//! `POST /oauth2/revoke` (RFC 7009): whoever holds a token may revoke it.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::HttpResponse,
    introspection::basic,
    mutations,
    test_app::{ADMIN_PASSWORD, TestApp},
};

const PATH: &str = "/oauth2/revoke";

async fn revoke(app: &TestApp, token: &str) -> HttpResponse {
    app.client.form(PATH, &[], &[("token", token)]).await
}

fn done(reply: &HttpResponse) {
    assert_eq!(reply.status_and("cache-control"), (200, vec!["no-store"]));
    assert!(reply.body.is_empty());
}

/// The rows of the audit log after `len`: action, actor, credential, target, count.
fn rows(app: &TestApp, len: i64) -> Vec<(String, String, String, String, i64)> {
    let sql = app.sql();
    let select = "SELECT action, actor, credential_id, target, count FROM audit ORDER BY sequence \
                  LIMIT -1 OFFSET ?1";
    let mut select = sql.prepare(select).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    };
    select
        .query_map([len], row)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn holder_revokes_the_token_with_its_children_and_is_the_actor() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    let len = app.audit_len();
    done(&revoke(&app, &parent.text).await);
    for token in [&parent.text, &child.text] {
        assert!(!app.accepts(token).await);
    }
    assert!(app.accepts(&alice.token).await);
    let (user, id) = (alice.id.clone(), parent.id.clone());
    let expected = ("token.delete".to_owned(), user, id.clone(), id, 2);
    assert_eq!(rows(&app, len)[0], expected);
    // A repeat succeeds and changes nothing.
    let before = mutations::contents(&app);
    done(&revoke(&app, &parent.text).await);
    assert_eq!(mutations::contents(&app), before);
}

#[tokio::test]
async fn unknown_token_succeeds_without_effect() {
    let app = TestApp::start().await;
    let bad = app.bad_tokens().await;
    let unknown = bad.iter().filter(|bad| bad.reason == "CREDENTIALS_INVALID");
    let before = (mutations::contents(&app), app.audit_len());
    for token in unknown.map(|bad| &*bad.text).chain([ADMIN_PASSWORD]) {
        done(&revoke(&app, token).await);
    }
    assert_eq!((mutations::contents(&app), app.audit_len()), before);
}

/// It might become valid again, or be valid from another address.
#[tokio::test]
async fn token_that_is_not_currently_valid_is_revoked_too() {
    let app = TestApp::start().await;
    let bad = app.bad_tokens().await;
    let held = bad.iter().filter(|bad| bad.reason != "CREDENTIALS_INVALID");
    for token in held {
        done(&revoke(&app, &token.text).await);
        let told = app.call(&token.text, "AuthnService/GetCurrentUser", json!({}));
        told.await.refused("unauthenticated", "TOKEN_DELETED");
    }
}

#[tokio::test]
async fn caller_may_be_absent_but_not_bad() {
    let app = TestApp::start().await;
    let scoped = app
        .child(&app.admin.token, json!({ "scopes": ["deploy"] }))
        .await;
    let good = [
        format!("Bearer {}", app.admin.token),
        format!("Bearer {}", scoped.text),
        basic("ci", &app.admin.token),
    ];
    for authorization in good {
        let token = app.child(&app.admin.token, json!({})).await;
        let headers = [("authorization", &*authorization)];
        done(
            &app.client
                .form(PATH, &headers, &[("token", &token.text)])
                .await,
        );
        assert!(!app.accepts(&token.text).await);
    }
    let token = app.child(&app.admin.token, json!({})).await;
    // The challenge is for the attempted scheme, or for both if there is none.
    let with_password = basic("admin", ADMIN_PASSWORD);
    for (authorization, challenges) in [("Bearer nonsense", 1), (&with_password, 1), ("x", 2)] {
        let headers = [("authorization", authorization)];
        let reply = app
            .client
            .form(PATH, &headers, &[("token", &token.text)])
            .await;
        let (_, told) = reply.status_and("www-authenticate");
        assert_eq!(told.len(), challenges, "{authorization}");
        assert_eq!(reply.head.status, 401);
        assert_eq!(reply.json()["error"], "invalid_client");
    }
    assert!(app.accepts(&token.text).await);
}

#[tokio::test]
async fn malformed_request_is_refused_without_effect() {
    let app = TestApp::start().await;
    let token = ("token", &*app.admin.token);
    for form in [&[][..], &[("token", "")], &[token, token]] {
        let reply = app.client.form(PATH, &[], form).await;
        assert_eq!(reply.head.status, 400);
        assert_eq!(reply.json()["error"], "invalid_request");
    }
    let query = format!("{PATH}?token={}", app.admin.token);
    let reply = app.client.form(&query, &[], &[]).await;
    assert_eq!(reply.head.status, 400);
    let reply = app.client.ask(Method::GET, &query, &[]).await;
    assert_eq!(reply.status_and("allow"), (405, vec!["POST"]));
    let json = [("content-type", "application/json")];
    let reply = app.client.ask(Method::POST, PATH, &json).await;
    assert_eq!(reply.head.status, 415);
    assert!(app.accepts(&app.admin.token).await);
}

#[tokio::test]
async fn revocation_that_cannot_be_recorded_is_503_and_does_not_happen() {
    let app = TestApp::start().await;
    let token = app.child(&app.admin.token, json!({})).await;
    let plant = "CREATE TRIGGER planted BEFORE INSERT ON audit \
                 BEGIN SELECT RAISE(ABORT, 'planted'); END";
    app.sql().execute_batch(plant).unwrap();
    let reply = revoke(&app, &token.text).await;
    assert_eq!(reply.head.status, 503);
    let told: Value = reply.json();
    assert!(!told.to_string().contains("planted"), "{told}");
    app.sql().execute_batch("DROP TRIGGER planted").unwrap();
    assert!(app.accepts(&token.text).await);
    done(&revoke(&app, &token.text).await);
    assert!(!app.accepts(&token.text).await);
}
