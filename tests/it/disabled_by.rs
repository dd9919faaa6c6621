//! A token that an admin disabled can be enabled only by an admin.

use serde_json::{Value, json};

use crate::{
    client::Reply,
    test_app::{NewToken, TestApp, local},
};

async fn set(app: &TestApp, by: &str, token: &NewToken, disabled: bool) -> Reply {
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
        let failure = set(&app, by, &mine, false).await;
        let failure = failure.refused("permission_denied", "ADMIN_REQUIRED");
        assert!(
            failure.message.contains("an admin disabled it"),
            "{failure:?}"
        );
    };
    set(&app, &alice.token, &mine, true).await.ok();
    assert_eq!(
        token(&app, &mine.id).await["disabledBy"],
        "DISABLED_BY_OWNER"
    );
    set(&app, &alice.token, &mine, false).await.ok();
    assert!(app.accepts(&mine.text).await);

    set(&app, &app.admin.token, &mine, true).await.ok();
    assert_eq!(
        token(&app, &mine.id).await["disabledBy"],
        "DISABLED_BY_ADMIN"
    );
    refused(&alice.token).await;
    // Disabling it again or changing it otherwise does not change who may enable it.
    set(&app, &alice.token, &mine, true).await.ok();
    let note = json!({ "tokenId": mine.id, "note": "n" });
    let noted = app.call(&alice.token, "TokenService/UpdateToken", note);
    noted.await.ok();
    refused(&alice.token).await;
    set(&app, &app.admin.token, &mine, false).await.ok();
    assert!(app.accepts(&mine.text).await);
    assert_eq!(token(&app, &mine.id).await.get("disabledBy"), None);

    // Once an admin disables it, too, only an admin may enable it, and that is recorded.
    set(&app, &alice.token, &mine, true).await.ok();
    let rows = app.audit_len();
    set(&app, &app.admin.token, &mine, true).await.ok();
    assert_eq!(app.audit_len(), rows + 1);
    refused(&alice.token).await;
}

#[tokio::test]
async fn machine_cannot_enable_what_its_owner_disabled_as_an_admin() {
    let app = TestApp::start().await;
    let robot = app.machine(&app.admin, "robot").await;
    let other = app.sign_in(&app.admin, json!({ "userId": robot.id })).await;
    set(&app, &app.admin.token, &other, true).await.ok();
    let refused = set(&app, &robot.token, &other, false).await;
    refused.refused("permission_denied", "ADMIN_REQUIRED");
    set(&app, &app.admin.token, &other, false).await.ok();
    // The control: an owner who is not an admin.
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot-2").await;
    let other = app.sign_in(&alice, json!({ "userId": robot.id })).await;
    set(&app, &alice.token, &other, true).await.ok();
    set(&app, &robot.token, &other, false).await.ok();
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
    let refused = set(&app, &alice.token, &mine, false).await;
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
    set(&app, &app.admin.token, &new, true).await.ok();
    let refused = undo(&alice.token).await;
    refused.refused("permission_denied", "ADMIN_REQUIRED");
    // The control: a token that is not disabled.
    set(&app, &app.admin.token, &new, false).await.ok();
    undo(&alice.token).await.ok();
}

#[tokio::test]
async fn explanation_says_who_may_enable_the_token() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let mine = app.sign_in(&alice, json!({})).await;
    set(&app, &app.admin.token, &mine, true).await.ok();
    let message = json!({ "tokenId": mine.id });
    let told = app.call(&alice.token, "TokenService/ExplainToken", message);
    let told = told.await.ok();
    let verdict = told["sentences"][0].as_str().unwrap();
    assert!(verdict.contains("only an admin enables it"), "{verdict}");
}
