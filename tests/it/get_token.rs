//! `GetToken`: callers get the tokens that they may see; others do not exist for them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{START, TestApp, rfc3339};

const GET: &str = "TokenService/GetToken";

fn id(id: &str) -> Value {
    json!({ "tokenId": id })
}

#[tokio::test]
async fn created_token_is_returned_unchanged() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let message = json!({
        "note": "CI",
        "expireTime": "2030-01-01T00:00:00Z",
        "scopes": ["deploy"],
        "allowedCidrs": ["10.0.0.0/8"],
    });
    let token = app.child(&alice.token, message).await;
    let parent = &alice.token["hallpass_".len()..][..22];
    let expected = json!({
        "id": token.id,
        "createTime": rfc3339(START),
        "expireTime": "2030-01-01T00:00:00Z",
        "note": "CI",
        "scopes": ["deploy"],
        "allowedCidrs": ["10.0.0.0/8"],
        "userId": alice.id,
        "parentId": parent,
        "familyId": token.id,
    });
    assert_eq!(token.metadata, expected);
    let got = app.call(&alice.token, GET, id(&token.id)).await.ok();
    assert_eq!(got["token"], expected);
}

#[tokio::test]
async fn machines_token_is_readable_by_owner_admin_and_machine() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let token = app.child(&robot.token, json!({})).await;
    for by in [&alice.token, &robot.token, &token.text, &app.admin.token] {
        let got = app.call(by, GET, id(&token.id)).await.ok();
        assert_eq!(got["token"], token.metadata);
    }
}

#[tokio::test]
async fn unknown_foreign_malformed_and_deleted_tokens_are_equally_not_found() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&bob, "robot").await;
    let foreign = app.sign_in(&bob, json!({})).await;
    let machines = app.child(&robot.token, json!({})).await;
    let deleted = app.sign_in(&alice, json!({})).await;
    let delete = app.call(&alice.token, "TokenService/DeleteToken", id(&deleted.id));
    delete.await.ok();

    let unknown = app.call(&alice.token, GET, id("0000000000000000000000"));
    let unknown = unknown.await;
    let same = unknown.clone().raw_refusal();
    unknown.refused("not_found", "TOKEN_NOT_FOUND");
    for other in [
        &foreign.id,
        &machines.id,
        &deleted.id,
        "x",
        "é",
        &"z".repeat(22),
        &"x".repeat(256),
        &alice.token,
        &alice.id,
    ] {
        let answer = app.call(&alice.token, GET, id(other)).await;
        assert_eq!(answer.raw_refusal(), same, "{other}");
    }
    // A machine cannot read its owner's tokens.
    let owners = app.sign_in(&bob, json!({})).await;
    let answer = app.call(&robot.token, GET, id(&owners.id)).await;
    assert_eq!(answer.raw_refusal(), same);
}

#[tokio::test]
async fn empty_and_overlong_ids_are_invalid() {
    let app = TestApp::start().await;
    for bad in ["", &"x".repeat(257), &"é".repeat(129)] {
        for procedure in [GET, "TokenService/DeleteToken"] {
            let answer = app.call(&app.admin.token, procedure, id(bad)).await;
            answer.invalid_field("token_id");
        }
    }
}

#[tokio::test]
async fn expired_token_is_readable_until_it_is_purged() {
    let retention = Duration::from_hours(24);
    let app = TestApp::start_with(|settings| settings.app.retention = retention).await;
    let expires = json!({ "expireTime": app.clock.after(Duration::from_mins(1)) });
    let token = app.child(&app.admin.token, expires).await;
    let kept = Duration::from_mins(1) + retention;
    app.clock
        .advance(kept.saturating_sub(Duration::from_micros(1)));
    assert_eq!(app.app.purge().await.unwrap(), 0);
    let got = app.call(&app.admin.token, GET, id(&token.id)).await.ok();
    assert_eq!(got["token"], token.metadata);
    app.clock.advance(Duration::from_micros(2));
    assert_eq!(app.app.purge().await.unwrap(), 1);
    let gone = app.call(&app.admin.token, GET, id(&token.id)).await;
    gone.refused("not_found", "TOKEN_NOT_FOUND");
}
