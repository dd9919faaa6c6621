//! What makes a token invalid, and who learns the reason.

use std::time::Duration;

use hallpass::domain::token_text::{TokenPrefix, TokenText};
use serde_json::json;

use crate::test_app::TestApp;

const CURRENT: &str = "AuthnService/GetCurrentUser";

#[tokio::test]
async fn reason_is_revealed_only_to_the_holder_of_the_full_secret() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let soon = json!({ "expireTime": app.clock.after(Duration::from_mins(1)) });
    let expired = app.sign_in(&alice, soon).await;
    app.clock.advance(Duration::from_mins(1));
    let deleted = app.sign_in(&alice, json!({})).await;
    let delete = json!({ "tokenId": deleted.id });
    let answer = app.call(&alice.token, "TokenService/DeleteToken", delete);
    answer.await.ok();
    let disabled = app.sign_in(&alice, json!({})).await;
    let sql = "UPDATE tokens SET disabled = 1 WHERE id = ?1";
    app.sql().execute(sql, [&disabled.id]).unwrap();
    let bob = app.person("bob").await;
    let deactivate = json!({ "id": bob.id });
    let answer = app.call(&app.admin.token, "UserService/DeactivateUser", deactivate);
    answer.await.ok();

    let same = app.call("nonsense", CURRENT, json!({})).await.raw_refusal();
    for (token, reason) in [
        (&expired.text, "TOKEN_EXPIRED"),
        (&deleted.text, "TOKEN_DELETED"),
        (&disabled.text, "TOKEN_DISABLED"),
        (&bob.token, "USER_DEACTIVATED"),
    ] {
        let answer = app.call(token, CURRENT, json!({})).await;
        answer.refused("unauthenticated", reason);
        let guess = with_another_secret(token);
        let answer = app.call(&guess, CURRENT, json!({})).await;
        assert_eq!(answer.raw_refusal(), same, "{reason}");
    }
    // A guess does not reveal whether a token exists.
    let unknown = alice.token.replace(&alice.token[9..20], "0000000000A");
    for guess in [&alice.token, &unknown].map(|token| with_another_secret(token)) {
        let answer = app.call(&guess, CURRENT, json!({})).await;
        assert_eq!(answer.raw_refusal(), same);
    }
}

/// The token with one character of its secret changed and a matching checksum.
fn with_another_secret(token: &str) -> String {
    let (body, _) = token.split_at(token.len() - 6);
    let (body, last) = body.split_at(body.len() - 1);
    let body = format!("{body}{}", if last == "0" { "1" } else { "0" });
    let mut crc = crc32fast::hash(body.as_bytes());
    let mut digits = Vec::new();
    for _ in 0..6 {
        let digits62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        digits.push(digits62[usize::try_from(crc % 62).unwrap()]);
        crc /= 62;
    }
    digits.reverse();
    let changed = format!("{body}{}", String::from_utf8(digits).unwrap());
    TokenText::parse(&changed).expect("a well-formed token");
    assert_ne!(changed, token);
    changed
}

#[tokio::test]
async fn deactivated_user_has_no_valid_token_until_it_is_reactivated() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let id = json!({ "id": alice.id });
    let call = async |procedure: &str| {
        let answer = app.call(&app.admin.token, procedure, id.clone());
        answer.await.ok();
    };
    call("UserService/DeactivateUser").await;
    assert!(!app.accepts(&alice.token).await);
    assert!(app.accepts(&robot.token).await, "its machines still work");
    call("UserService/ReactivateUser").await;
    assert!(app.accepts(&alice.token).await);
    call("UserService/ReactivateUser").await;
}

#[tokio::test]
async fn any_well_formed_prefix_is_accepted_and_new_tokens_get_the_configured_one() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let app = app
        .restart_with(|settings| {
            settings.app.token_prefix = TokenPrefix::parse("acme123").unwrap();
        })
        .await;
    assert!(app.accepts(&alice.token).await);
    let new = app.sign_in(&alice, json!({})).await;
    assert!(new.text.starts_with("acme123_"));
    assert!(app.accepts(&new.text).await);
}
