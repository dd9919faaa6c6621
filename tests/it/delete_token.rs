//! `DeleteToken`: immediate, permanent and idempotent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{client::Reply, test_app::TestApp};

const DELETE: &str = "TokenService/DeleteToken";

fn id(id: &str) -> Value {
    json!({ "tokenId": id })
}

#[tokio::test]
async fn deleted_token_never_authenticates_again_even_after_a_restart() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    assert!(app.accepts(&token.text).await);
    app.call(&alice.token, DELETE, id(&token.id)).await.ok();
    assert!(!app.accepts(&token.text).await);
    let app = app.restart().await;
    assert!(!app.accepts(&token.text).await);
    assert!(app.accepts(&alice.token).await);
}

#[tokio::test]
async fn repeated_deletion_succeeds_until_the_purge() {
    let retention = Duration::from_hours(24);
    let app = TestApp::start_with(|settings| settings.app.retention = retention).await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let token = app.child(&robot.token, json!({})).await;
    let delete = async |by: &str| -> Reply { app.call(by, DELETE, id(&token.id)).await };
    assert_eq!(delete(&alice.token).await.ok(), json!({}));
    for by in [&alice.token, &robot.token, &app.admin.token] {
        let repeat = delete(by).await.ok();
        assert_eq!(repeat, json!({ "alreadyDeleted": true }));
    }
    app.clock
        .advance(retention.saturating_sub(Duration::from_micros(1)));
    app.app.purge().await.unwrap();
    delete(&alice.token).await.ok();
    app.clock.advance(Duration::from_micros(2));
    assert_eq!(app.app.purge().await.unwrap(), 1);
    for by in [&alice.token, &robot.token, &app.admin.token] {
        delete(by).await.refused("not_found", "TOKEN_NOT_FOUND");
    }
}

#[tokio::test]
async fn unknown_and_foreign_tokens_are_equally_not_found() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&bob, "robot").await;
    let foreign = app.sign_in(&bob, json!({})).await;
    let deleted = app.sign_in(&bob, json!({})).await;
    app.call(&bob.token, DELETE, id(&deleted.id)).await.ok();
    let unknown = app.call(&alice.token, DELETE, id("0000000000000000000000"));
    let unknown = unknown.await;
    let same = unknown.clone().raw_refusal();
    unknown.refused("not_found", "TOKEN_NOT_FOUND");
    let rows = app.audit_len();
    for by in [&alice.token, &robot.token] {
        for other in [&foreign.id, &deleted.id, "nonsense"] {
            let answer = app.call(by, DELETE, id(other)).await;
            assert_eq!(answer.raw_refusal(), same, "{other}");
        }
    }
    assert!(app.accepts(&foreign.text).await);
    assert_eq!(app.audit_len(), rows);
}

#[tokio::test]
async fn token_may_delete_itself_and_its_repeat_is_unauthenticated() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    for token in [&child, &parent] {
        app.call(&token.text, DELETE, id(&token.id)).await.ok();
        let repeat = app.call(&token.text, DELETE, id(&token.id)).await;
        repeat.refused("unauthenticated", "TOKEN_DELETED");
    }
}

#[tokio::test]
async fn expired_token_can_be_deleted() {
    let app = TestApp::start().await;
    let expires = json!({ "expireTime": app.clock.after(Duration::from_secs(1)) });
    let token = app.child(&app.admin.token, expires).await;
    app.clock.advance(Duration::from_secs(1));
    app.call(&app.admin.token, DELETE, id(&token.id)).await.ok();
    let get = app.call(&app.admin.token, "TokenService/GetToken", id(&token.id));
    get.await.refused("not_found", "TOKEN_NOT_FOUND");
}

/// Deletes and checks many tokens concurrently: a check that begins after the reply never succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_starts_after_the_reply_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let mut tokens = Vec::new();
    for _ in 0..60 {
        tokens.push(app.sign_in(&alice, json!({})).await);
    }
    let deletions = tokens.iter().map(|token| async {
        app.call(&token.text, DELETE, id(&token.id)).await.ok();
        for _ in 0..3 {
            let check = app.call(&token.text, "AuthnService/GetCurrentUser", json!({}));
            check.await.refused("unauthenticated", "TOKEN_DELETED");
        }
    });
    futures_util::future::join_all(deletions).await;
}
