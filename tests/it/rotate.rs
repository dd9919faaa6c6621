//! `RotateToken`: a successor takes a token's place, never with more rights.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::{Call, Reply, Wire},
    test_app::{NewToken, TestApp},
};

const ROTATE: &str = "TokenService/RotateToken";
const HOUR: Duration = Duration::from_hours(1);

async fn rotate(app: &TestApp, by: &str, id: &str, fields: Value) -> Reply {
    let mut message = json!({ "tokenId": id });
    if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
        message.extend(fields);
    }
    app.call(by, ROTATE, message).await
}

async fn rotated(app: &TestApp, by: &str, id: &str, fields: Value) -> (NewToken, Value) {
    let reply = rotate(app, by, id, fields).await.ok();
    (NewToken::read(&reply), reply["predecessor"].clone())
}

pub(crate) async fn get(app: &TestApp, id: &str) -> Value {
    let message = json!({ "tokenId": id });
    let answer = app.call(&app.admin.token, "TokenService/GetToken", message);
    answer.await.ok()["token"].clone()
}

#[tokio::test]
async fn successor_has_the_attributes_of_its_predecessor_over_every_wire() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for wire in Wire::ALL.into_iter().filter(|wire| !wire.is_get()) {
        let fields = json!({
            "note": "CI",
            "expireTime": app.clock.after(HOUR * 2),
            "scopes": ["deploy", "read"],
            "allowedCidrs": ["10.0.0.0/8"],
        });
        let old = app.child(&alice.token, fields).await;
        app.clock.advance(HOUR);
        let message = json!({ "tokenId": old.id, "gracePeriod": "60s" });
        let call = Call::new(ROTATE, message).bearer(&alice.token);
        let reply = app.client.call(wire, call).await.ok();
        let new = NewToken::read(&reply);
        let mut expected = old.metadata.clone();
        expected["id"] = new.id.clone().into();
        expected["createTime"] = app.clock.after(Duration::ZERO).into();
        expected["expireTime"] = app.clock.after(HOUR * 2).into();
        assert_eq!(new.metadata, expected, "{wire:?}");
        let mut expected = old.metadata.clone();
        expected["expireTime"] = app.clock.after(Duration::from_mins(1)).into();
        expected["successorId"] = new.id.clone().into();
        assert_eq!(reply["predecessor"], expected, "{wire:?}");
        assert_eq!(get(&app, &old.id).await, expected, "{wire:?}");
    }
}

#[tokio::test]
async fn predecessor_is_valid_for_its_grace_period_and_no_longer() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let old = app.sign_in(&alice, json!({})).await;
    let grace = json!({ "gracePeriod": "60s" });
    let (new, predecessor) = rotated(&app, &old.text, &old.id, grace).await;
    assert_eq!(predecessor["successorId"], new.id);
    let nearly = Duration::from_mins(1).saturating_sub(Duration::from_micros(1));
    app.clock.advance(nearly);
    assert!(app.accepts(&old.text).await);
    app.clock.advance(Duration::from_micros(1));
    assert!(!app.accepts(&old.text).await);
    assert!(app.accepts(&new.text).await);
}

#[tokio::test]
async fn without_a_grace_period_the_predecessor_is_deleted_at_once() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for grace in [json!({}), json!({ "gracePeriod": "0s" })] {
        let old = app.sign_in(&alice, json!({})).await;
        let (new, predecessor) = rotated(&app, &alice.token, &old.id, grace).await;
        assert_eq!(predecessor["successorId"], new.id);
        let answer = app.call(&old.text, "AuthnService/GetCurrentUser", json!({}));
        answer.await.refused("unauthenticated", "TOKEN_DELETED");
        rotate(&app, &alice.token, &old.id, json!({}))
            .await
            .refused("not_found", "TOKEN_NOT_FOUND");
        assert!(app.accepts(&new.text).await);
    }
}

#[tokio::test]
async fn grace_period_never_outlasts_the_predecessors_expiry() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let expires = json!({ "expireTime": app.clock.after(HOUR) });
    let old = app.sign_in(&alice, expires.clone()).await;
    let grace = json!({ "gracePeriod": "86400s" });
    let (_, predecessor) = rotated(&app, &alice.token, &old.id, grace).await;
    assert_eq!(predecessor["expireTime"], expires["expireTime"]);
}

#[tokio::test]
async fn malformed_fields_are_named_only_after_authorisation() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    for grace in ["-1s", "-0.5s", "31536000.000001s", "315576000000s"] {
        let fields = json!({ "gracePeriod": grace });
        rotate(&app, &alice.token, &token.id, fields.clone())
            .await
            .invalid_field("grace_period");
        rotate(&app, &alice.token, "nonsense", fields)
            .await
            .refused("not_found", "TOKEN_NOT_FOUND");
    }
    let past = json!({ "expireTime": app.clock.after(Duration::ZERO) });
    rotate(&app, &alice.token, &token.id, past)
        .await
        .invalid_field("expire_time");
    rotate(&app, &alice.token, "", json!({}))
        .await
        .invalid_field("token_id");
    assert!(app.accepts(&token.text).await);
}

#[tokio::test]
async fn only_a_valid_token_can_be_rotated_and_only_once() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let expires = json!({ "expireTime": app.clock.after(HOUR) });
    let expired = app.sign_in(&alice, expires).await;
    app.clock.advance(HOUR);
    let disabled = app.sign_in(&alice, json!({})).await;
    let disable = json!({ "tokenId": disabled.id, "disabled": true });
    let update = app.call(&alice.token, "TokenService/UpdateToken", disable);
    update.await.ok();
    let twice = app.sign_in(&alice, json!({})).await;
    let grace = json!({ "gracePeriod": "60s" });
    let (new, _) = rotated(&app, &alice.token, &twice.id, grace.clone()).await;
    for (id, reason) in [
        (&expired.id, "TOKEN_EXPIRED"),
        (&disabled.id, "TOKEN_DISABLED"),
        (&twice.id, "ALREADY_ROTATED"),
    ] {
        let answer = rotate(&app, &alice.token, id, grace.clone()).await;
        let failure = answer.refused("failed_precondition", reason);
        assert!(!failure.message.contains(&new.id), "{failure:?}");
    }
    let machines = robot.token.split('_').nth(1).unwrap();
    let robot_id = json!({ "id": robot.id });
    let deactivate = app.call(&alice.token, "UserService/DeactivateUser", robot_id);
    deactivate.await.ok();
    rotate(&app, &alice.token, machines, grace)
        .await
        .refused("failed_precondition", "TARGET_DEACTIVATED");
}

#[tokio::test]
async fn foreign_token_cannot_be_rotated_and_looks_unknown_to_the_byte() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&bob, "robot").await;
    let foreign = app.sign_in(&bob, json!({})).await;
    let unknown = rotate(&app, &alice.token, "0000000000000000000000", json!({})).await;
    let same = unknown.clone().raw_refusal();
    unknown.refused("not_found", "TOKEN_NOT_FOUND");
    let machines = robot.token.split('_').nth(1).unwrap();
    for other in [&foreign.id, machines, "nonsense"] {
        let answer = rotate(&app, &alice.token, other, json!({})).await;
        assert_eq!(answer.raw_refusal(), same, "{other}");
    }
    // An admin would learn another person's secret; a machine's it may know.
    rotate(&app, &app.admin.token, &foreign.id, json!({}))
        .await
        .refused("not_found", "TOKEN_NOT_FOUND");
    assert!(app.accepts(&foreign.text).await);
    rotated(&app, &app.admin.token, machines, json!({})).await;
}

#[tokio::test]
async fn any_token_may_rotate_itself() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let own = robot.token.split('_').nth(1).unwrap();
    let (next, _) = rotated(&app, &robot.token, own, json!({})).await;
    assert!(app.accepts(&next.text).await);

    let parent = app.sign_in(&alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    let sibling = app.child(&parent.text, json!({})).await;
    // It cannot create tokens, so it may not rotate others either.
    for other in [&sibling.id, &parent.id] {
        rotate(&app, &child.text, other, json!({}))
            .await
            .refused("permission_denied", "LINEAGE_TOO_DEEP");
    }
    let (next, _) = rotated(&app, &child.text, &child.id, json!({})).await;
    assert_eq!(next.metadata["parentId"], parent.id);

    let scoped = app.sign_in(&alice, json!({ "scopes": ["deploy"] })).await;
    rotate(&app, &scoped.text, &scoped.id, json!({}))
        .await
        .refused("permission_denied", "SCOPE_MISSING");
}

#[tokio::test]
async fn token_rotating_itself_gets_no_longer_lifetime() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let expires = json!({ "expireTime": app.clock.after(HOUR) });
    let token = app.sign_in(&alice, expires).await;
    app.clock.advance(HOUR / 2);
    let longer = json!({ "expireTime": app.clock.after(HOUR + Duration::from_micros(1)) });
    rotate(&app, &token.text, &token.id, longer.clone())
        .await
        .refused("failed_precondition", "LIFETIME_TOO_LONG");
    let as_long = json!({ "expireTime": app.clock.after(HOUR) });
    rotated(&app, &token.text, &token.id, as_long).await;
}

#[tokio::test]
async fn token_cannot_rotate_a_token_with_more_rights() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let write = "hallpass:tokens:write";
    let more = app.sign_in(&alice, json!({})).await;
    let fields = json!({ "scopes": [write, "deploy"], "allowedCidrs": ["127.0.0.0/8"] });
    let limited = app.sign_in(&alice, fields.clone()).await;
    let scoped = app
        .sign_in(&alice, json!({ "scopes": [write, "deploy"] }))
        .await;
    for other in [&more.id, &scoped.id] {
        rotate(&app, &limited.text, other, json!({}))
            .await
            .refused("failed_precondition", "EXCEEDS_PARENT");
    }
    let equal = app.sign_in(&alice, fields).await;
    rotated(&app, &limited.text, &equal.id, json!({})).await;

    // Nor a token with a later expiry; a child is bound by its parent anyway.
    let soon = json!({ "expireTime": app.clock.after(HOUR) });
    let brief = app.sign_in(&alice, soon.clone()).await;
    rotate(&app, &brief.text, &more.id, json!({}))
        .await
        .refused("failed_precondition", "OUTLIVES_PARENT");
    let child = app.child(&brief.text, soon.clone()).await;
    rotated(&app, &brief.text, &child.id, json!({})).await;
    rotated(&app, &brief.text, &more.id, soon).await;
}

#[tokio::test]
async fn successors_default_lifetime_stays_within_the_limits_and_a_longer_one_is_refused() {
    let app = TestApp::start_with(|settings| {
        settings.app.people.max_ttl = Some(HOUR * 4);
        settings.app.machines.max_ttl = Some(HOUR * 4);
    })
    .await;
    let in_hours = |hours: u32| json!({ "expireTime": app.clock.after(HOUR * hours) });
    let parent = app.sign_in(&app.admin, in_hours(3)).await;
    let child = app.child(&parent.text, in_hours(2)).await;
    let nearly = (HOUR * 2).saturating_sub(Duration::from_secs(1));
    app.clock.advance(nearly);
    let beyond = json!({ "expireTime": app.clock.after(HOUR * 2) });
    rotate(&app, &parent.text, &child.id, beyond)
        .await
        .refused("failed_precondition", "OUTLIVES_PARENT");
    let (next, _) = rotated(&app, &parent.text, &child.id, json!({})).await;
    let parents = &parent.metadata["expireTime"];
    assert_eq!(&next.metadata["expireTime"], parents);

    let beyond = json!({ "expireTime": app.clock.after(HOUR * 5) });
    rotate(&app, &parent.text, &parent.id, beyond)
        .await
        .refused("failed_precondition", "LIFETIME_TOO_LONG");
    // A token without expiry, created before the limit.
    let sql = "UPDATE tokens SET expire_time = NULL WHERE id = ?1";
    app.sql().execute(sql, [&parent.id]).unwrap();
    let (next, _) = rotated(&app, &parent.text, &parent.id, json!({})).await;
    assert_eq!(next.metadata["expireTime"], app.clock.after(HOUR * 4));
}

#[tokio::test]
async fn live_children_move_to_the_successor_and_survive_the_predecessor() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let old = app.sign_in(&alice, json!({})).await;
    let child = app.child(&old.text, json!({})).await;
    let grace = json!({ "gracePeriod": "60s" });
    let (new, _) = rotated(&app, &alice.token, &old.id, grace).await;
    assert_eq!(get(&app, &child.id).await["parentId"], new.id);
    let delete = async |id: &str| {
        let message = json!({ "tokenId": id });
        let answer = app.call(&alice.token, "TokenService/DeleteToken", message);
        answer.await.ok()
    };
    assert_eq!(
        delete(&old.id).await,
        json!({}),
        "no child is deleted with it"
    );
    assert!(app.accepts(&child.text).await);
    assert!(app.accepts(&new.text).await);
    assert_eq!(delete(&new.id).await, json!({ "deletedChildren": 1 }));
    assert!(!app.accepts(&child.text).await);
}

#[tokio::test]
async fn rotation_ignores_the_quota_but_a_family_is_bounded() {
    let app = TestApp::start_with(|settings| settings.app.max_tokens_per_user = 2).await;
    let alice = app.person("alice").await;
    let mut last = app.sign_in(&alice, json!({})).await;
    app.call(&alice.token, "TokenService/CreateToken", json!({}))
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");
    let grace = json!({ "gracePeriod": "60s" });
    for _ in 0..7 {
        (last, _) = rotated(&app, &alice.token, &last.id, grace.clone()).await;
    }
    rotate(&app, &alice.token, &last.id, grace.clone())
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");
    (last, _) = rotated(&app, &alice.token, &last.id, json!({})).await;
    app.clock.advance(Duration::from_mins(1));
    rotated(&app, &alice.token, &last.id, grace).await;
}

#[tokio::test]
async fn rotation_is_one_row_naming_both_tokens() {
    let app = TestApp::start().await;
    let old = app.sign_in(&app.admin, json!({})).await;
    for _ in 0..2 {
        app.child(&old.text, json!({})).await;
    }
    let before = app.audit_len();
    let (new, _) = rotated(&app, &old.text, &old.id, json!({})).await;
    let sql = app.sql();
    let sql = &mut sql
        .prepare(
            "SELECT action, target, successor_id FROM audit WHERE sequence > ?1 ORDER BY sequence",
        )
        .unwrap();
    let rows = sql.query_map([before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<[String; 3]> = rows
        .unwrap()
        .map(|row| row.map(Into::into).unwrap())
        .collect();
    assert_eq!(rows, [["token.rotate", &*old.id, &*new.id]]);
}

/// Two concurrent rotations have one successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_concurrent_rotations_one_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for _ in 0..20 {
        let token = app.sign_in(&alice, json!({})).await;
        let grace = json!({ "gracePeriod": "60s" });
        let two = [0; 2].map(|_| rotate(&app, &alice.token, &token.id, grace.clone()));
        let answers = futures_util::future::join_all(two).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|answer| answer.result.is_ok());
        assert_eq!(done.len(), 1);
        let refused = refused.into_iter().next().unwrap();
        refused.refused("failed_precondition", "ALREADY_ROTATED");
    }
}
