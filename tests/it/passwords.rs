//! Setting passwords, and which may be chosen.

use serde_json::{Value, json};

use crate::test_app::{Person, TestApp};

const SET: &str = "UserService/SetPassword";
const NEW: &str = "another drowsy lantern hums";

async fn signs_in(app: &TestApp, person: &Person, password: &str) -> bool {
    let message = json!({ "username": person.name, "password": password });
    let answer = app.call("", "TokenService/CreateToken", message).await;
    answer.result.is_ok()
}

#[tokio::test]
async fn changing_ones_own_password_needs_the_old_one() {
    let app = TestApp::start().await;
    for person in [&app.person("alice").await, &app.admin] {
        let set = async |message: Value| app.call(&person.token, SET, message).await;
        let missing = set(json!({ "newPassword": NEW })).await;
        missing.invalid_field("old_password");
        let wrong = json!({ "userId": person.id, "oldPassword": NEW, "newPassword": NEW });
        let wrong = set(wrong).await;
        wrong.refused("permission_denied", "CREDENTIALS_INVALID");
        assert!(signs_in(&app, person, &person.password).await);
        let right = json!({ "oldPassword": person.password, "newPassword": NEW });
        assert_eq!(set(right).await.ok(), json!({}));
        assert!(signs_in(&app, person, NEW).await);
        assert!(!signs_in(&app, person, &person.password).await);
        assert!(app.accepts(&person.token).await, "tokens stay");
    }
}

#[tokio::test]
async fn admin_resets_a_password_without_the_old_one_and_may_delete_the_tokens() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    app.sign_in(&alice, json!({})).await;
    let message = json!({ "userId": alice.id, "newPassword": NEW, "deleteTokens": true });
    let answer = app.call(&app.admin.token, SET, message).await;
    assert_eq!(answer.ok(), json!({ "deletedTokens": 2 }));
    assert!(!app.accepts(&alice.token).await);
    assert!(app.accepts(&robot.token).await, "its machines' tokens stay");
    assert!(signs_in(&app, &alice, NEW).await);
}

#[tokio::test]
async fn weak_passwords_are_refused_without_an_echo() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for weak in [
        "",
        "only 14 chars.",
        "passwordpassword",
        "qwertyuiopasdfgh",
        &"x".repeat(257),
        &"\u{1F600}".repeat(257),
    ] {
        let message = json!({ "username": "someone", "password": weak });
        let answer = app.call(&app.admin.token, "UserService/CreateUser", message);
        let failure = answer.await.invalid_field("password");
        assert!(weak.is_empty() || !failure.message.contains(weak));
        let message = json!({ "oldPassword": alice.password, "newPassword": weak });
        let answer = app.call(&alice.token, SET, message).await;
        answer.invalid_field("new_password");
    }
    let own_name = json!({ "username": "someone", "password": "someonesomeone12" });
    let answer = app.call(&app.admin.token, "UserService/CreateUser", own_name);
    answer.await.invalid_field("password");
    let machine = json!({
        "username": "robot",
        "userType": "USER_TYPE_MACHINE",
        "password": NEW,
    });
    let answer = app.call(&alice.token, "UserService/CreateUser", machine);
    answer.await.invalid_field("password");
}

#[tokio::test]
async fn password_is_rehashed_at_sign_in_when_the_cost_rises() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let app = app
        .restart_with(|settings| settings.app.passwords.passes = 2)
        .await;
    let stored = || -> String {
        let sql = "SELECT password_hash FROM users WHERE username = 'alice'";
        app.sql().query_one(sql, [], |row| row.get(0)).unwrap()
    };
    let before = stored();
    assert!(before.contains("t=1"), "{before}");
    assert!(!signs_in(&app, &alice, NEW).await);
    assert_eq!(stored(), before);
    for _ in 0..2 {
        assert!(signs_in(&app, &alice, &alice.password).await);
        assert!(stored().contains("t=2"));
    }
}
