//! `UpdateToken`: notes, disabling and enabling, narrowing and never widening. What an admin disabled only an admin
//! enables.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::{Call, Reply, Wire},
    test_app::{NewToken, TestApp, local},
};

const UPDATE: &str = "TokenService/UpdateToken";

async fn update(app: &TestApp, by: &str, id: &str, fields: Value) -> Reply {
    let mut message = json!({ "tokenId": id });
    if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
        message.extend(fields);
    }
    app.call(by, UPDATE, message).await
}

fn last_actions(app: &TestApp, since: i64) -> Vec<String> {
    let sql = app.sql();
    let mut select = sql
        .prepare("SELECT action FROM audit WHERE sequence > ?1 ORDER BY sequence")
        .unwrap();
    let rows = select.query_map([since], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn only_given_fields_change_over_every_wire() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for wire in Wire::ALL.into_iter().filter(|wire| !wire.is_get()) {
        let fields = json!({ "note": "CI", "scopes": ["a", "b"], "allowedCidrs": ["10.0.0.0/8"] });
        let token = app.child(&alice.token, fields).await;
        let mut expected = token.metadata.clone();
        for (change, shown) in [
            (json!({ "note": "new" }), json!({ "note": "new" })),
            (
                json!({ "disabled": true }),
                json!({ "disabled": true, "disabledBy": "DISABLED_BY_OWNER" }),
            ),
            (json!({ "scopes": ["b"] }), json!({ "scopes": ["b"] })),
            (
                json!({ "allowedCidrs": ["10.1.0.0/16", "10.2.0.1"] }),
                json!({ "allowedCidrs": ["10.1.0.0/16", "10.2.0.1/32"] }),
            ),
            (json!({}), json!({})),
        ] {
            let mut message = change;
            message["tokenId"] = token.id.clone().into();
            let call = Call::new(UPDATE, message).bearer(&alice.token);
            let reply = app.client.call(wire, call).await.ok();
            let Value::Object(shown) = shown else {
                unreachable!()
            };
            expected.as_object_mut().unwrap().extend(shown);
            assert_eq!(reply["token"], expected, "{wire:?}");
        }
        // A note may be cleared and a token enabled: presence of the fields counts, not their values.
        let message = json!({ "tokenId": token.id, "note": "", "disabled": false });
        let call = Call::new(UPDATE, message).bearer(&alice.token);
        let reply = app.client.call(wire, call).await.ok();
        assert_eq!(reply["token"].get("note"), None, "{wire:?}");
        assert_eq!(reply["token"].get("disabled"), None, "{wire:?}");
    }
}

#[tokio::test]
async fn disabled_token_and_its_children_are_refused_until_it_is_enabled() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    let set = async |disabled: bool| {
        let fields = json!({ "disabled": disabled });
        update(&app, &alice.token, &parent.id, fields).await.ok();
    };
    let refused = async |token: &str, reason| {
        let answer = app.call(token, "AuthnService/GetCurrentUser", json!({}));
        answer.await.refused("unauthenticated", reason);
    };
    for _ in 0..2 {
        set(true).await;
        refused(&parent.text, "TOKEN_DISABLED").await;
        refused(&child.text, "PARENT_INVALID").await;
        set(false).await;
        assert!(app.accepts(&parent.text).await);
        assert!(app.accepts(&child.text).await);
    }
    // It may disable itself, but cannot then enable itself.
    let off = json!({ "disabled": true });
    update(&app, &parent.text, &parent.id, off).await.ok();
    update(&app, &parent.text, &parent.id, json!({ "disabled": false }))
        .await
        .refused("unauthenticated", "TOKEN_DISABLED");
}

#[tokio::test]
async fn nothing_is_ever_widened() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let fields = json!({ "scopes": ["a", "b"], "allowedCidrs": ["10.0.0.0/9", "10.128.0.0/9"] });
    let token = app.sign_in(&alice, fields).await;
    for wider in [
        json!({ "scopes": ["a", "c"] }),
        json!({ "scopes": ["hallpass:admin"] }),
        json!({ "allowedCidrs": ["10.0.0.0/8"] }),
        json!({ "allowedCidrs": ["10.0.0.1", "192.0.2.1"] }),
        json!({ "scopes": ["a"], "allowedCidrs": ["::/0"] }),
    ] {
        for by in [&alice.token, &app.admin.token] {
            update(&app, by, &token.id, wider.clone())
                .await
                .refused("failed_precondition", "EXCEEDS_TOKEN");
        }
    }
    // A removed scope cannot be restored.
    let narrower = json!({ "scopes": ["a"] });
    update(&app, &alice.token, &token.id, narrower).await.ok();
    let back = json!({ "scopes": ["a", "b"] });
    update(&app, &alice.token, &token.id, back)
        .await
        .refused("failed_precondition", "EXCEEDS_TOKEN");
    let empty = json!({ "scopes": [], "allowedCidrs": [] });
    let reply = update(&app, &alice.token, &token.id, empty).await.ok();
    assert_eq!(reply["token"]["scopes"], json!(["a"]));
}

#[tokio::test]
async fn narrowing_a_parent_narrows_its_children() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    let list = async || {
        app.call(&child.text, "TokenService/ListTokens", json!({}))
            .await
    };
    list().await.ok();
    let narrower = json!({ "scopes": ["hallpass:users:read"] });
    update(&app, &alice.token, &parent.id, narrower).await.ok();
    list().await.refused("permission_denied", "SCOPE_MISSING");
    let elsewhere = json!({ "allowedCidrs": ["10.0.0.0/8"] });
    update(&app, &alice.token, &parent.id, elsewhere).await.ok();
    list()
        .await
        .refused("unauthenticated", "ADDRESS_NOT_ALLOWED");
}

#[tokio::test]
async fn deleted_and_foreign_tokens_are_not_found_and_expired_ones_cannot_change() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let foreign = app.sign_in(&bob, json!({})).await;
    let deleted = app.sign_in(&alice, json!({})).await;
    let delete = json!({ "tokenId": deleted.id });
    let answer = app.call(&alice.token, "TokenService/DeleteToken", delete);
    answer.await.ok();
    let note = json!({ "note": "n" });
    let unknown = update(&app, &alice.token, "0000000000000000000000", note.clone()).await;
    let same = unknown.clone().raw_refusal();
    unknown.refused("not_found", "TOKEN_NOT_FOUND");
    for other in [&foreign.id, &deleted.id, "nonsense"] {
        // The fields are not even checked.
        for fields in [note.clone(), json!({ "note": "\n" })] {
            let answer = update(&app, &alice.token, other, fields).await;
            assert_eq!(answer.raw_refusal(), same, "{other}");
        }
    }
    let expires = json!({ "expireTime": app.clock.after(Duration::from_secs(1)) });
    let expired = app.sign_in(&alice, expires).await;
    app.clock.advance(Duration::from_secs(1));
    update(&app, &alice.token, &expired.id, note)
        .await
        .refused("failed_precondition", "TOKEN_EXPIRED");
}

#[tokio::test]
async fn malformed_fields_are_named() {
    let app = TestApp::start().await;
    let token = app.sign_in(&app.admin, json!({})).await;
    for (fields, field) in [
        (json!({ "note": "\n" }), "note"),
        (json!({ "scopes": ["Deploy"] }), "scopes"),
        (json!({ "allowedCidrs": ["10.0.0.1/8"] }), "allowed_cidrs"),
    ] {
        let answer = update(&app, &app.admin.token, &token.id, fields).await;
        answer.invalid_field(field);
    }
}

#[tokio::test]
async fn each_change_leaves_its_row_and_no_change_leaves_none() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let all = json!({ "note": "remember-this", "disabled": true, "scopes": ["a"] });
    for (by, fields, expected) in [
        (
            &alice.token,
            all.clone(),
            &["token.disable", "token.narrow", "token.describe"][..],
        ),
        (&alice.token, all.clone(), &[]),
        (
            &app.admin.token,
            json!({ "disabled": false }),
            &["token.enable"],
        ),
        // An admin that changes nothing still reads another user's token, which is recorded.
        (
            &app.admin.token,
            json!({ "disabled": false }),
            &["token.update"],
        ),
    ] {
        let before = app.audit_len();
        update(&app, by, &token.id, fields).await.ok();
        assert_eq!(last_actions(&app, before), expected);
    }
}

async fn set_disabled(app: &TestApp, by: &str, token: &NewToken, disabled: bool) -> Reply {
    let message = json!({ "tokenId": token.id, "disabled": disabled });
    app.call(by, "TokenService/UpdateToken", message).await
}

async fn token(app: &TestApp, id: &str) -> Value {
    let message = json!({ "tokenId": id });
    let got = app.call(&app.admin.token, "TokenService/GetToken", message);
    got.await.ok()["token"].clone()
}

#[tokio::test]
async fn owner_enables_only_what_the_owner_disabled() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let mine = app.sign_in(&alice, json!({})).await;
    let refused = async |by: &str| {
        let failure = set_disabled(&app, by, &mine, false).await;
        let failure = failure.refused("permission_denied", "ADMIN_REQUIRED");
        assert!(
            failure.message.contains("an admin disabled it"),
            "{failure:?}"
        );
    };
    set_disabled(&app, &alice.token, &mine, true).await.ok();
    assert_eq!(
        token(&app, &mine.id).await["disabledBy"],
        "DISABLED_BY_OWNER"
    );
    set_disabled(&app, &alice.token, &mine, false).await.ok();
    assert!(app.accepts(&mine.text).await);

    set_disabled(&app, &app.admin.token, &mine, true).await.ok();
    assert_eq!(
        token(&app, &mine.id).await["disabledBy"],
        "DISABLED_BY_ADMIN"
    );
    refused(&alice.token).await;
    // Disabling it again or changing it otherwise does not change who may enable it.
    set_disabled(&app, &alice.token, &mine, true).await.ok();
    let note = json!({ "tokenId": mine.id, "note": "n" });
    let noted = app.call(&alice.token, "TokenService/UpdateToken", note);
    noted.await.ok();
    refused(&alice.token).await;
    set_disabled(&app, &app.admin.token, &mine, false)
        .await
        .ok();
    assert!(app.accepts(&mine.text).await);
    assert_eq!(token(&app, &mine.id).await.get("disabledBy"), None);

    // Once an admin disables it, too, only an admin may enable it, and that is recorded.
    set_disabled(&app, &alice.token, &mine, true).await.ok();
    let rows = app.audit_len();
    set_disabled(&app, &app.admin.token, &mine, true).await.ok();
    assert_eq!(app.audit_len(), rows + 1);
    refused(&alice.token).await;
}

#[tokio::test]
async fn machine_cannot_enable_what_its_owner_disabled_as_an_admin() {
    let app = TestApp::start().await;
    let robot = app.machine(&app.admin, "robot").await;
    let other = app.sign_in(&app.admin, json!({ "userId": robot.id })).await;
    set_disabled(&app, &app.admin.token, &other, true)
        .await
        .ok();
    let refused = set_disabled(&app, &robot.token, &other, false).await;
    refused.refused("permission_denied", "ADMIN_REQUIRED");
    set_disabled(&app, &app.admin.token, &other, false)
        .await
        .ok();
    // The control: an owner who is not an admin.
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot-2").await;
    let other = app.sign_in(&alice, json!({ "userId": robot.id })).await;
    set_disabled(&app, &alice.token, &other, true).await.ok();
    set_disabled(&app, &robot.token, &other, false).await.ok();
}

#[tokio::test]
async fn local_command_counts_as_an_admin() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let mine = app.sign_in(&alice, json!({})).await;
    let update = |disabled| hallpass::app::tokens::UpdateToken {
        token_id: mine.id.clone(),
        disabled: Some(disabled),
        ..Default::default()
    };
    let local = local(&app.app);
    app.app.update_token(&local, update(true)).await.unwrap();
    let refused = set_disabled(&app, &alice.token, &mine, false).await;
    refused.refused("permission_denied", "ADMIN_REQUIRED");
    app.app.update_token(&local, update(false)).await.unwrap();
    assert!(app.accepts(&mine.text).await);
}

#[tokio::test]
async fn undoing_a_rotation_does_not_bypass_an_admins_disabling() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let old = app.sign_in(&alice, json!({})).await;
    let message = json!({ "tokenId": old.id, "gracePeriod": "60s" });
    let rotated = app.call(&alice.token, "TokenService/RotateToken", message);
    let new = NewToken::read(&rotated.await.ok());
    let undo = async |by: &str| {
        let message = json!({ "tokenId": new.id });
        app.call(by, "TokenService/UndoRotation", message).await
    };
    set_disabled(&app, &app.admin.token, &new, true).await.ok();
    let refused = undo(&alice.token).await;
    refused.refused("permission_denied", "ADMIN_REQUIRED");
    // The control: a token that is not disabled.
    set_disabled(&app, &app.admin.token, &new, false).await.ok();
    undo(&alice.token).await.ok();
}

#[tokio::test]
async fn explanation_says_who_may_enable_the_token() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let mine = app.sign_in(&alice, json!({})).await;
    set_disabled(&app, &app.admin.token, &mine, true).await.ok();
    let message = json!({ "tokenId": mine.id });
    let told = app.call(&alice.token, "TokenService/ExplainToken", message);
    let told = told.await.ok();
    let verdict = told["sentences"][0].as_str().unwrap();
    assert!(verdict.contains("only an admin may enable it"), "{verdict}");
}
