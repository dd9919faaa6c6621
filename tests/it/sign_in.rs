//! `CreateToken` with username and password.

use serde_json::json;

use crate::{
    client::{Call, Wire},
    test_app::TestApp,
};

const CREATE: &str = "TokenService/CreateToken";

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
