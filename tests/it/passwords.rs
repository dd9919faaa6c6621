//! Passwords: setting them, which may be chosen, and `CreateToken` with username and password.

use serde_json::{Value, json};

use crate::{
    client::{Call, Wire},
    test_app::{Person, TestApp},
};

const SET: &str = "UserService/SetPassword";
const NEW: &str = "another drowsy lantern hums";
const CREATE: &str = "TokenService/CreateToken";

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

#[tokio::test]
async fn token_made_with_a_password_works_and_has_no_parent() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({ "note": "laptop" })).await;
    assert!(app.accepts(&token.text).await);
    assert_eq!(token.metadata["note"], "laptop");
    assert_eq!(token.metadata["userId"], alice.id);
    assert_eq!(token.metadata.get("parentId"), None);
    assert_eq!(token.metadata["familyId"], token.id);
    assert!(token.text.starts_with(&format!("hallpass_{}_", token.id)));
}

#[tokio::test]
async fn one_of_username_and_password_alone_is_refused_even_beside_a_token() {
    let app = TestApp::start().await;
    for token in ["", &app.admin.token] {
        let alone = app.call(token, CREATE, json!({ "username": "admin" }));
        alone.await.invalid_field("password");
        let alone = app.call(token, CREATE, json!({ "password": app.admin.password }));
        alone.await.invalid_field("username");
    }
}

#[tokio::test]
async fn missing_credentials_are_reported_differently_from_wrong_ones() {
    let app = TestApp::start().await;
    let missing = app.call("", CREATE, json!({})).await;
    let bearer = "Bearer realm=\"hallpass\"";
    assert_eq!(missing.headers["www-authenticate"], bearer);
    missing.refused("unauthenticated", "CREDENTIALS_MISSING");
    let wrong = app.call("nonsense", CREATE, json!({})).await;
    assert_eq!(
        wrong.headers["www-authenticate"],
        &*format!("{bearer}, error=\"invalid_token\", error_description=\"the token is invalid\"")
    );
    wrong.refused("unauthenticated", "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn wrong_password_unknown_machine_and_deactivated_user_get_the_same_error() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    app.machine(&alice, "robot").await;
    let bob = app.person("bob").await;
    let deactivate = app.call(
        &app.admin.token,
        "UserService/DeactivateUser",
        json!({ "id": bob.id }),
    );
    deactivate.await.ok();

    let sign_in = async |name: &str, password: &str| {
        let message = json!({ "username": name, "password": password });
        app.call("", CREATE, message).await
    };
    let wrong = sign_in("alice", &bob.password).await;
    let same = wrong.clone().raw_refusal();
    wrong.refused("unauthenticated", "CREDENTIALS_INVALID");
    for (name, password) in [
        ("nobody", &alice.password),
        ("not a name", &alice.password),
        ("robot", &alice.password),
        ("bob", &bob.password),
    ] {
        assert_eq!(sign_in(name, password).await.raw_refusal(), same, "{name}");
    }
    sign_in("alice", &alice.password).await.ok();
}

#[tokio::test]
async fn authorization_header_is_ignored_where_a_password_is_set() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let right = json!({ "username": "Alice", "password": alice.password });
    for header in ["Bearer nonsense", "Basic eA==", ""] {
        let call = Call::new(CREATE, right.clone()).header("authorization", header);
        let created = app.client.call(Wire::CURL, call).await.ok();
        assert_eq!(created["metadata"]["userId"], alice.id);
        assert_eq!(created["metadata"].get("parentId"), None);
    }
    let wrong = json!({ "username": "alice", "password": "wrong" });
    let wrong = app.call(&alice.token, CREATE, wrong).await;
    wrong.refused("unauthenticated", "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn plaintext_is_shown_once_and_stored_nowhere() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let secret = &token.text[token.text.len() - 49..];
    let get = app.call(
        &alice.token,
        "TokenService/GetToken",
        json!({ "tokenId": token.id }),
    );
    assert!(!get.await.ok().to_string().contains(secret));
    let hash: Vec<u8> = app
        .sql()
        .query_one("SELECT hash FROM tokens WHERE id = ?1", [&token.id], |r| {
            r.get(0)
        })
        .unwrap();
    let expected = <sha2::Sha256 as sha2::Digest>::digest(token.text.as_bytes());
    assert_eq!(hash, expected.to_vec());
}
