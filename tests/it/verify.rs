//! Whether a token is valid, whose it is, and who learns the reason if it is not.

use std::time::Duration;

use hallpass::domain::token_text::{TokenPrefix, TokenText};
use serde_json::{Value, json};

use crate::{
    client::{Call, Wire},
    test_app::{START, TestApp, rfc3339},
};

const VERIFY: &str = "TokenService/VerifyToken";
const CURRENT: &str = "AuthnService/GetCurrentUser";

/// The reason in the reply; `None` if the token is valid.
async fn reason(app: &TestApp, message: Value) -> Option<String> {
    let answer = app.call(&app.admin.token, VERIFY, message).await.ok();
    if answer["valid"] == true {
        assert_eq!(answer.get("reason"), None);
        return None;
    }
    assert_eq!(answer.get("token"), None);
    assert_eq!(answer.get("user"), None);
    Some(answer["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn valid_token_is_returned_with_its_user_over_every_wire() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.child(&alice.token, json!({"scopes": ["deploy"]})).await;
    let user = app
        .call(&alice.token, "AuthnService/GetCurrentUser", json!({}))
        .await
        .ok();
    for wire in Wire::ALL.into_iter().filter(|wire| !wire.is_get()) {
        let call = Call::new(
            "hallpass.v1.TokenService/VerifyToken",
            json!({"token": token.text}),
        );
        let answer = app.client.call(wire, call.bearer(&app.admin.token)).await;
        let answer = answer.ok();
        assert_eq!(answer["valid"], true, "{wire:?}");
        assert_eq!(answer["token"], token.metadata, "{wire:?}");
        assert_eq!(answer["user"], user["user"], "{wire:?}");
    }
}

#[tokio::test]
async fn invalid_token_is_a_reply_whose_reason_needs_the_secret() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let ask = |token: &str| json!({ "token": token });
    let expiring = json!({"expireTime": rfc3339(START.plus(Duration::from_mins(1)))});
    let expired = app.child(&alice.token, expiring).await;
    let deleted = app.child(&alice.token, json!({})).await;
    let disabled = app.child(&alice.token, json!({})).await;
    assert_eq!(reason(&app, ask(&disabled.text)).await, None);
    app.call(
        &alice.token,
        "TokenService/DeleteToken",
        json!({"tokenId": deleted.id}),
    )
    .await
    .ok();
    app.sql()
        .execute(
            "UPDATE tokens SET disabled = 1 WHERE id = ?1",
            [&disabled.id],
        )
        .unwrap();
    app.reread().await;
    app.clock.advance(Duration::from_mins(1));

    // A matching checksum with another secret.
    let forged = {
        use hallpass::domain::token_text::{TokenPrefix, TokenText};
        let id = TokenText::parse(&deleted.text).unwrap().id();
        TokenText::generate(&TokenPrefix::default(), id)
            .expose()
            .to_owned()
    };
    for (token, expected) in [
        (expired.text.as_str(), "TOKEN_EXPIRED"),
        (&deleted.text, "TOKEN_DELETED"),
        (&disabled.text, "TOKEN_DISABLED"),
        (&forged, "CREDENTIALS_INVALID"),
        ("", "CREDENTIALS_INVALID"),
        ("nonsense", "CREDENTIALS_INVALID"),
    ] {
        assert_eq!(reason(&app, ask(token)).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn deactivated_user_or_ended_parent_ends_validity() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let child = app.child(&alice.token, json!({})).await;
    let ask = json!({ "token": child.text });
    assert_eq!(reason(&app, ask.clone()).await, None);
    let id = json!({ "id": alice.id });
    app.call(&app.admin.token, "UserService/DeactivateUser", id.clone())
        .await
        .ok();
    let told = reason(&app, ask.clone()).await;
    assert_eq!(told.as_deref(), Some("USER_DEACTIVATED"));
    app.call(&app.admin.token, "UserService/ReactivateUser", id)
        .await
        .ok();
    let parent = &alice.token["hallpass_".len()..][..22];
    app.sql()
        .execute("UPDATE tokens SET disabled = 1 WHERE id = ?1", [parent])
        .unwrap();
    app.reread().await;
    let told = reason(&app, ask).await;
    assert_eq!(told.as_deref(), Some("PARENT_INVALID"));
}

#[tokio::test]
async fn all_required_scopes_must_be_granted() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let scopes = json!({"scopes": ["deploy", "read"]});
    let token = app.child(&alice.token, scopes).await;
    let ask = |scopes: &[&str]| json!({ "token": token.text.clone(), "requiredScopes": scopes });
    assert_eq!(reason(&app, ask(&["deploy", "read"])).await, None);
    let told = reason(&app, ask(&["deploy", "admin"])).await;
    assert_eq!(told.as_deref(), Some("SCOPE_MISSING"));
    let everything = json!({ "token": alice.token, "requiredScopes": ["whatever"] });
    assert_eq!(
        reason(&app, everything).await,
        None,
        "without scopes every scope is granted"
    );

    // Its parent is narrowed later.
    let parent = &alice.token["hallpass_".len()..][..22];
    let narrow = |scopes: &str| {
        let sql = "UPDATE tokens SET scopes = ?2 WHERE id = ?1";
        app.sql().execute(sql, [parent, scopes]).unwrap();
    };
    narrow("other read");
    app.reread().await;
    let told = reason(&app, ask(&["deploy"])).await;
    assert_eq!(told.as_deref(), Some("SCOPE_MISSING"));
    let answer = app.call(&app.admin.token, VERIFY, ask(&["read"])).await;
    assert_eq!(answer.ok()["token"]["scopes"], json!(["read"]));
    narrow("other");
    app.reread().await;
    let told = reason(&app, ask(&[])).await;
    assert_eq!(
        told.as_deref(),
        Some("SCOPE_MISSING"),
        "no remaining scope must not mean every scope"
    );
}

#[tokio::test]
async fn networks_apply_to_the_clients_address_and_refuse_an_unknown_one() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let networks = json!({"allowedCidrs": ["10.0.0.0/8", "2001:db8::/32"]});
    let token = app.child(&alice.token, networks).await;
    for (ip, expected) in [
        ("10.1.2.3", None),
        ("::ffff:10.1.2.3", None),
        ("2001:db8::1", None),
        ("192.0.2.1", Some("ADDRESS_NOT_ALLOWED")),
        ("", Some("ADDRESS_NOT_ALLOWED")),
    ] {
        let ask = json!({ "token": token.text, "clientIp": ip });
        assert_eq!(reason(&app, ask).await.as_deref(), expected, "{ip:?}");
    }
}

#[tokio::test]
async fn malformed_fields_are_named_after_the_scope_check() {
    let app = TestApp::start().await;
    let limited = json!({"scopes": ["hallpass:tokens:read"]});
    let limited = app.child(&app.admin.token, limited).await;
    let bad = json!({ "token": "x", "clientIp": "localhost" });
    app.call(&limited.text, VERIFY, bad.clone())
        .await
        .refused("permission_denied", "SCOPE_MISSING");
    app.call(&app.admin.token, VERIFY, bad)
        .await
        .invalid_field("client_ip");
    let bad = json!({ "token": "x", "requiredScopes": ["Deploy"] });
    app.call(&app.admin.token, VERIFY, bad)
        .await
        .invalid_field("required_scopes");
}

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
