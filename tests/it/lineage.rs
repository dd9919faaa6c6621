//! Tokens created with tokens: one level, never with more rights than the parent, deleted with the parent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{NewToken, TestApp};

const CREATE: &str = "TokenService/CreateToken";

#[tokio::test]
async fn child_names_its_parent_and_cannot_make_tokens() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    assert_eq!(child.metadata["parentId"], parent.id);
    assert_eq!(child.metadata["familyId"], child.id);
    let grandchild = app.call(&child.text, CREATE, json!({})).await;
    grandchild.refused("permission_denied", "LINEAGE_TOO_DEEP");
    // The child may do everything else.
    let list = app.call(&child.text, "TokenService/ListTokens", json!({}));
    assert_eq!(list.await.ok()["tokens"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn child_may_not_outlive_its_parent() {
    let app = TestApp::start().await;
    let end = Duration::from_hours(1);
    let expires = json!({ "expireTime": app.clock.after(end) });
    let parent = app.sign_in(&app.admin, expires.clone()).await;
    let create = async |expire_time: Value| {
        let message = json!({ "expireTime": expire_time });
        app.call(&parent.text, CREATE, message).await
    };
    let beyond = app.clock.after(end + Duration::from_micros(1));
    for too_long in [Value::Null, beyond.into()] {
        let failure = create(too_long).await;
        let failure = failure.refused("failed_precondition", "OUTLIVES_PARENT");
        let named = parent.metadata["expireTime"].as_str().unwrap();
        assert!(failure.message.contains(named), "{failure:?}");
    }
    create(expires["expireTime"].clone()).await.ok();
    app.clock.advance(end);
    create(app.clock.after(end).into())
        .await
        .refused("unauthenticated", "TOKEN_EXPIRED");
}

#[tokio::test]
async fn child_has_only_scopes_of_its_parent() {
    let app = TestApp::start().await;
    let scopes = json!({ "scopes": ["hallpass:tokens:write", "deploy", "build"] });
    let parent = app.sign_in(&app.admin, scopes).await;
    let create = async |scopes: Value| {
        let message = json!({ "scopes": scopes });
        app.call(&parent.text, CREATE, message).await
    };
    for more in [
        json!(["deploy", "release"]),
        json!(["hallpass:admin"]),
        json!(["release"]),
    ] {
        let answer = create(more).await;
        answer.refused("failed_precondition", "EXCEEDS_PARENT");
    }
    let some = create(json!(["deploy"])).await.ok();
    assert_eq!(some["metadata"]["scopes"], json!(["deploy"]));
    let inherited = create(json!([])).await.ok();
    assert_eq!(inherited["metadata"]["scopes"], parent.metadata["scopes"]);
}

#[tokio::test]
async fn child_of_an_unscoped_parent_may_name_any_scope() {
    let app = TestApp::start().await;
    let child = app.child(&app.admin.token, json!({ "scopes": ["deploy"] }));
    assert_eq!(child.await.metadata["scopes"], json!(["deploy"]));
}

#[tokio::test]
async fn each_network_of_a_child_is_inside_one_of_its_parents() {
    let app = TestApp::start().await;
    let cidrs = json!({ "allowedCidrs": ["127.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9"] });
    let parent = app.sign_in(&app.admin, cidrs).await;
    let create = async |cidrs: Value| {
        let message = json!({ "allowedCidrs": cidrs });
        app.call(&parent.text, CREATE, message).await
    };
    for more in [
        json!(["127.0.0.1", "192.0.2.0/24"]),
        json!(["10.0.0.0/8"]),
        json!(["0.0.0.0/0"]),
        json!(["::/0"]),
    ] {
        let answer = create(more).await;
        answer.refused("failed_precondition", "EXCEEDS_PARENT");
    }
    let some = create(json!(["127.0.0.0/30", "::ffff:10.200.0.0/112"]));
    let some = some.await.ok();
    let kept = json!(["10.200.0.0/16", "127.0.0.0/30"]);
    assert_eq!(some["metadata"]["allowedCidrs"], kept);
    let inherited = create(json!([])).await.ok();
    let inherited = &inherited["metadata"]["allowedCidrs"];
    assert_eq!(*inherited, parent.metadata["allowedCidrs"]);
}

#[tokio::test]
async fn deleting_a_parent_deletes_and_counts_its_live_children() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let mut children = Vec::new();
    for user_id in ["", "", &robot.id] {
        let child = app.child(&parent.text, json!({ "userId": user_id }));
        children.push(child.await);
    }
    let expires = json!({ "expireTime": app.clock.after(Duration::from_secs(1)) });
    app.child(&parent.text, expires).await;
    app.clock.advance(Duration::from_secs(1));
    delete(&app, &alice.token, &children[0], 0).await;
    let other = app.child(&alice.token, json!({})).await;

    delete(&app, &alice.token, &parent, 2).await;
    delete(&app, &alice.token, &parent, 0).await;
    for child in &children {
        let answer = app.call(&child.text, "AuthnService/GetCurrentUser", json!({}));
        answer.await.refused("unauthenticated", "TOKEN_DELETED");
        let get = json!({ "tokenId": child.id });
        let answer = app.call(&alice.token, "TokenService/GetToken", get).await;
        answer.refused("not_found", "TOKEN_NOT_FOUND");
    }
    for lives in [&other.text, &robot.token, &alice.token] {
        assert!(app.accepts(lives).await);
    }
}

async fn delete(app: &TestApp, by: &str, token: &NewToken, children: u32) {
    let message = json!({ "tokenId": token.id });
    let answer = app.call(by, "TokenService/DeleteToken", message).await.ok();
    let deleted = answer["deletedChildren"].as_u64().unwrap_or_default();
    assert_eq!(deleted, u64::from(children));
}

/// The parent's current state counts at each use: its narrowing here, its disabling and deletion below.
#[tokio::test]
async fn narrowing_a_parent_narrows_its_children() {
    let app = TestApp::start().await;
    let parent = app.sign_in(&app.admin, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    let list = async || {
        let list = app.call(&child.text, "TokenService/ListTokens", json!({}));
        list.await
    };
    list().await.ok();
    let set = async |column: &str, value: &str| {
        let sql = format!("UPDATE tokens SET {column} = ?1 WHERE id = ?2");
        assert_eq!(app.sql().execute(&sql, [value, &parent.id]).unwrap(), 1);
        app.reread().await;
    };
    set("scopes", "hallpass:users:read").await;
    list().await.refused("permission_denied", "SCOPE_MISSING");
    assert!(app.accepts(&child.text).await);
    set("scopes", "").await;
    set("allowed_cidrs", "10.0.0.0/8").await;
    list()
        .await
        .refused("unauthenticated", "ADDRESS_NOT_ALLOWED");
    set("allowed_cidrs", "").await;
    list().await.ok();
}

#[tokio::test]
async fn child_is_valid_only_while_its_parent_is() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let end = Duration::from_mins(1);
    let expires = json!({ "expireTime": app.clock.after(end) });
    let parent = app.sign_in(&alice, expires.clone()).await;
    let mut message = expires;
    message["userId"] = robot.id.clone().into();
    let child = app.child(&parent.text, message).await;
    assert!(app.accepts(&child.text).await);
    let refused = async || {
        let answer = app.call(&child.text, "AuthnService/GetCurrentUser", json!({}));
        answer.await.refused("unauthenticated", "PARENT_INVALID");
    };

    let disable = async |yes: i64| {
        let sql = "UPDATE tokens SET disabled = ?1 WHERE id = ?2";
        app.sql().execute(sql, (yes, &parent.id)).unwrap();
        app.reread().await;
    };
    disable(1).await;
    refused().await;
    disable(0).await;
    assert!(app.accepts(&child.text).await);

    let id = json!({ "id": alice.id });
    let admin = &app.admin.token;
    let deactivated = app.call(admin, "UserService/DeactivateUser", id.clone());
    deactivated.await.ok();
    refused().await;
    let reactivated = app.call(admin, "UserService/ReactivateUser", id);
    reactivated.await.ok();
    assert!(app.accepts(&child.text).await);
}
