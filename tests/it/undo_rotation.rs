//! `UndoRotation`: only a rotation whose new secret was never used can be undone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rotate::get,
    test_app::{NewToken, Person, TestApp, leaked},
};

const UNDO: &str = "TokenService/UndoRotation";

const FINAL: (&str, &str) = ("failed_precondition", "ROTATION_FINAL");

/// A token of `alice` and its successor, with a grace period of a minute.
async fn rotated(app: &TestApp, alice: &Person, fields: Value) -> (NewToken, NewToken) {
    let old = app.sign_in(alice, fields).await;
    let message = json!({ "tokenId": old.id, "gracePeriod": "60s" });
    let answer = app.call(&alice.token, "TokenService/RotateToken", message);
    let new = NewToken::read(&answer.await.ok());
    (old, new)
}

fn undo_of(new: &NewToken) -> Value {
    json!({ "tokenId": new.id })
}

#[tokio::test]
async fn undone_rotation_restores_the_token_its_expiry_and_its_children() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let day = Duration::from_hours(24);
    for fields in [json!({}), json!({ "expireTime": app.clock.after(day) })] {
        let old = app.sign_in(&alice, fields).await;
        let child = app
            .child(&old.text, json!({ "expireTime": app.clock.after(day / 2) }))
            .await;
        let before = get(&app, &old.id).await;
        let message = json!({ "tokenId": old.id, "gracePeriod": "60s" });
        let answer = app.call(&alice.token, "TokenService/RotateToken", message);
        let new = NewToken::read(&answer.await.ok());
        assert_eq!(get(&app, &child.id).await["parentId"], new.id);

        let undone = app.call(&alice.token, UNDO, undo_of(&new)).await.ok();
        assert_eq!(undone["token"], before);
        assert_eq!(get(&app, &old.id).await, before);
        assert_eq!(get(&app, &child.id).await["parentId"], old.id);
        app.clock.advance(Duration::from_mins(2));
        assert!(app.accepts(&old.text).await && app.accepts(&child.text).await);
        assert!(!app.accepts(&new.text).await);
        // It can be rotated again, and a repeated undo finds nothing.
        let again = app.call(&alice.token, UNDO, undo_of(&new)).await;
        again.refused("not_found", "TOKEN_NOT_FOUND");
        let message = json!({ "tokenId": old.id });
        app.call(&alice.token, "TokenService/RotateToken", message)
            .await
            .ok();
    }
}

#[tokio::test]
async fn used_rotated_or_ended_successor_cannot_be_undone() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let refused = async |new: &NewToken| {
        let before = app.audit_len();
        app.call(&alice.token, UNDO, undo_of(new))
            .await
            .refused(FINAL.0, FINAL.1);
        assert_eq!(app.audit_len(), before);
    };
    // A use that is not yet stored, and a stored one.
    let (_, used) = rotated(&app, &alice, json!({})).await;
    assert!(app.accepts(&used.text).await);
    refused(&used).await;
    let flush = hallpass::app::background::last_use::Flush::Now;
    app.app.flush_uses(flush).await.unwrap();
    refused(&used).await;

    let (old, rotated_again) = rotated(&app, &alice, json!({})).await;
    let message = json!({ "tokenId": rotated_again.id, "gracePeriod": "60s" });
    app.call(&alice.token, "TokenService/RotateToken", message)
        .await
        .ok();
    refused(&rotated_again).await;

    let (_, late) = rotated(&app, &alice, json!({})).await;
    app.clock.advance(Duration::from_mins(1));
    refused(&late).await;
    refused(&old).await;
}

#[tokio::test]
async fn rotation_can_be_undone_for_a_minute_even_without_a_grace_period() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let rotated = async |grace: &str| {
        let message = json!({ "userId": robot.id });
        let created = app.call(&alice.token, "TokenService/CreateToken", message);
        let old = NewToken::read(&created.await.ok());
        let message = json!({ "tokenId": old.id, "gracePeriod": grace });
        let answer = app.call(&alice.token, "TokenService/RotateToken", message);
        let new = NewToken::read(&answer.await.ok());
        app.clock.advance(Duration::from_secs(1));
        assert!(!app.accepts(&old.text).await, "it ended at once");
        (old, new)
    };
    let undo = async |by: &str, new: &NewToken| app.call(by, UNDO, undo_of(new)).await;
    let (old, new) = rotated("0.000001s").await;
    // An admin could have rotated it, but did not.
    undo(&app.admin.token, &new).await.refused(FINAL.0, FINAL.1);
    undo(&alice.token, &new).await.ok();
    assert!(app.accepts(&old.text).await && !app.accepts(&new.text).await);

    let (_, late) = rotated("0.000001s").await;
    app.clock.advance(Duration::from_secs(59));
    undo(&alice.token, &late).await.refused(FINAL.0, FINAL.1);
    // A deleted token is never restored, whether deleted by the rotation or after it.
    let (_, new) = rotated("0s").await;
    undo(&alice.token, &new).await.refused(FINAL.0, FINAL.1);
    let (old, new) = rotated("0.000001s").await;
    let message = json!({ "tokenId": old.id });
    let deleted = app.call(&alice.token, "TokenService/DeleteToken", message);
    assert_eq!(
        deleted.await.ok(),
        json!({}),
        "a new deletion, not a repeat"
    );
    undo(&alice.token, &new).await.refused(FINAL.0, FINAL.1);
}

/// Whoever names a token to be revoked is told that it has ended, so it must not come back. The control is the first
/// round, in which nobody names it.
#[tokio::test]
async fn ended_token_that_somebody_revokes_never_comes_back() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    for procedure in [
        "",
        "TokenService/DeleteToken",
        "AdminService/RevokeTokens",
        "AdminService/RevokeLeakedTokens",
    ] {
        let message = json!({ "userId": robot.id });
        let created = app.call(&alice.token, "TokenService/CreateToken", message);
        let old = NewToken::read(&created.await.ok());
        let message = json!({ "tokenId": old.id, "gracePeriod": "0.000001s" });
        let answer = app.call(&alice.token, "TokenService/RotateToken", message);
        let new = NewToken::read(&answer.await.ok());
        app.clock.advance(Duration::from_secs(1));
        let revoke = match procedure {
            "TokenService/DeleteToken" => json!({ "tokenId": old.id }),
            "AdminService/RevokeTokens" => json!({ "tokens": [old.id] }),
            _ => json!({ "tokens": [leaked(&old.text)] }),
        };
        if !procedure.is_empty() {
            app.call(&app.admin.token, procedure, revoke).await.ok();
        }
        let undone = app.call(&alice.token, UNDO, undo_of(&new)).await;
        if procedure.is_empty() {
            undone.ok();
            assert!(app.accepts(&old.text).await);
        } else {
            undone.refused(FINAL.0, FINAL.1);
            assert!(!app.accepts(&old.text).await, "{procedure}");
            assert!(app.accepts(&new.text).await, "{procedure}");
        }
    }
}

#[tokio::test]
async fn only_the_rotating_caller_may_undo() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let (old, new) = rotated(&app, &alice, json!({})).await;
    // Only a person rotates the person's tokens.
    for by in [&bob.token, &app.admin.token] {
        let answer = app.call(by, UNDO, undo_of(&new)).await;
        answer.refused("not_found", "TOKEN_NOT_FOUND");
    }
    assert!(app.accepts(&new.text).await);
    // A token that rotated itself and lost the reply.
    let (itself, lost) = rotated(&app, &alice, json!({})).await;
    app.call(&itself.text, UNDO, undo_of(&lost)).await.ok();
    assert!(app.accepts(&itself.text).await && app.accepts(&old.text).await);
}
