//! The operator's policies for tokens: lifetimes, who may create them, how often they may be used.

use std::{num::NonZero, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Call, Reply, Wire},
    test_app::{Machine, NewToken, Person, Settings, TestApp},
};

const CREATE: &str = "TokenService/CreateToken";
const VERIFY: &str = "TokenService/VerifyToken";
const DAY: Duration = Duration::from_hours(24);
const TICK: Duration = Duration::from_micros(1);

fn posts() -> impl Iterator<Item = Wire> {
    Wire::ALL.into_iter().filter(|wire| !wire.is_get())
}

/// A person and their machine, created before the test's settings apply.
async fn with(change: impl FnOnce(&mut Settings)) -> (TestApp, Person, Machine) {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    (app.restart_with(change).await, alice, robot)
}

/// Creates a token with a password, for a machine if `user_id` is not empty.
async fn create(app: &TestApp, person: &Person, user_id: &str, expires: Option<Duration>) -> Reply {
    let expire_time = expires.map(|ttl| app.clock.after(ttl));
    let message = json!({
        "username": person.name,
        "password": person.password,
        "userId": user_id,
        "expireTime": expire_time,
    });
    app.call("", CREATE, message).await
}

#[tokio::test]
async fn people_and_machines_have_separate_maximum_lifetimes() {
    let (app, alice, robot) = with(|settings| {
        settings.app.people.max_ttl = Some(DAY * 30);
        settings.app.machines.max_ttl = Some(DAY * 90);
    })
    .await;
    for (user_id, max, named) in [("", DAY * 30, " 30d"), (&*robot.id, DAY * 90, " 90d")] {
        create(&app, &alice, user_id, Some(max)).await.ok();
        for too_long in [None, Some(max + TICK)] {
            let answer = create(&app, &alice, user_id, too_long).await;
            let failure = answer.refused("failed_precondition", "LIFETIME_TOO_LONG");
            assert!(failure.message.ends_with(named), "{failure:?}");
        }
    }
    // Whoever creates the token, the limit depends on its user.
    let for_robot = json!({ "userId": robot.id, "expireTime": app.clock.after(DAY * 31) });
    app.child(&alice.token, for_robot).await;
    let own = json!({ "expireTime": app.clock.after(DAY * 31) });
    let answer = app.call(&alice.token, CREATE, own).await;
    answer.refused("failed_precondition", "LIFETIME_TOO_LONG");
}

#[tokio::test]
async fn default_lifetime_applies_without_an_expiry_and_is_returned_over_every_wire() {
    let (app, alice, robot) = with(|settings| {
        settings.app.people.default_ttl = Some(DAY);
        settings.app.machines.default_ttl = Some(DAY * 7);
        settings.app.machines.max_ttl = Some(DAY * 7);
    })
    .await;
    for wire in posts() {
        for (user_id, ttl) in [("", DAY), (&*robot.id, DAY * 7)] {
            let call = Call::new(CREATE, json!({ "userId": user_id })).bearer(&alice.token);
            let created = NewToken::read(&app.client.call(wire, call).await.ok());
            assert_eq!(
                created.metadata["expireTime"],
                app.clock.after(ttl),
                "{wire:?}"
            );
        }
    }
    // A requested expiry is used.
    let longer = create(&app, &alice, "", Some(DAY * 400)).await.ok();
    assert_eq!(longer["metadata"]["expireTime"], app.clock.after(DAY * 400));

    // The default is not shortened to the parent's expiry: the request is refused.
    let parent = create(&app, &alice, "", Some(DAY.saturating_sub(TICK)))
        .await
        .ok();
    let parent = NewToken::read(&parent);
    let child = app.call(&parent.text, CREATE, json!({})).await;
    child.refused("failed_precondition", "OUTLIVES_PARENT");
    let token = create(&app, &alice, "", None).await.ok();
    app.clock.advance(DAY);
    assert!(!app.accepts(&NewToken::read(&token).text).await);
}

#[tokio::test]
async fn tokens_without_expiry_can_be_forbidden_without_a_maximum() {
    let (app, alice, robot) = with(|settings| {
        settings.app.people.must_expire = true;
        settings.app.machines.must_expire = true;
        settings.app.machines.default_ttl = Some(DAY);
    })
    .await;
    let never = create(&app, &alice, "", None).await;
    let failure = never.refused("failed_precondition", "LIFETIME_TOO_LONG");
    assert!(failure.message.contains("must expire"), "{failure:?}");
    create(&app, &alice, "", Some(DAY * 36_500)).await.ok();
    create(&app, &alice, &robot.id, None).await.ok();
    // Existing tokens are unchanged.
    assert!(app.accepts(&alice.token).await);
}

#[tokio::test]
async fn child_tokens_can_be_forbidden_while_signing_in_still_creates_tokens() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let child = app.child(&alice.token, json!({})).await;
    let app = app
        .restart_with(|settings| settings.app.forbid_token_children = true)
        .await;
    let rows = app.audit_len();
    for by in [&alice.token, &robot.token, &child.text, &app.admin.token] {
        for user_id in ["", &robot.id] {
            for wire in posts() {
                let call = Call::new(CREATE, json!({ "userId": user_id })).bearer(by);
                let answer = app.client.call(wire, call).await;
                let failure = answer.refused("permission_denied", "TOKEN_CHILDREN_FORBIDDEN");
                assert!(failure.message.contains("sign in"), "{failure:?}");
            }
        }
    }
    // Nor by rotating another token. Rotating itself creates no further token.
    let rotate = async |by: &str, token: &str| {
        let id = token.split('_').nth(1).unwrap();
        let rotate = json!({ "tokenId": id });
        app.call(by, "TokenService/RotateToken", rotate).await
    };
    for (by, token) in [
        (&alice.token, &robot.token),
        (&alice.token, &child.text),
        (&app.admin.token, &robot.token),
        (&child.text, &alice.token),
    ] {
        let answer = rotate(by, token).await;
        answer.refused("permission_denied", "TOKEN_CHILDREN_FORBIDDEN");
    }
    assert_eq!(app.audit_len(), rows);
    rotate(&robot.token, &robot.token).await.ok();
    for user_id in ["", &robot.id] {
        let token = create(&app, &alice, user_id, None).await.ok();
        let token = NewToken::read(&token);
        assert_eq!(token.metadata.get("parentId"), None);
        assert!(app.accepts(&token.text).await);
    }
    assert!(app.accepts(&child.text).await, "it was created before");
}

async fn limited(per_minute: u32) -> TestApp {
    TestApp::start_with(|settings| {
        settings.app.token_requests_per_minute = NonZero::new(per_minute);
    })
    .await
}

async fn verify(app: &TestApp, wire: Wire, token: &str) -> Reply {
    let call = Call::new(VERIFY, json!({ "token": token })).bearer(&app.admin.token);
    app.client.call(wire, call).await
}

#[tokio::test]
async fn token_over_its_rate_gets_retry_after_and_is_never_called_invalid() {
    let app = limited(4).await;
    for wire in posts() {
        let token = app.sign_in(&app.admin, json!({})).await;
        let other = app.sign_in(&app.admin, json!({})).await;
        let valid = async |token: &NewToken| {
            let answer = verify(&app, wire, &token.text).await.ok();
            assert_eq!(answer["valid"], true, "{wire:?}");
        };
        let wait = async || {
            let answer = verify(&app, wire, &token.text).await;
            let (status, headers) = (answer.status, answer.headers.clone());
            let failure = answer.refused("resource_exhausted", "TOKEN_RATE_LIMITED");
            let seconds = failure.detail("RetryInfo").unwrap()["seconds"].as_i64();
            if wire == Wire::CURL {
                assert_eq!(status, 429);
                assert_eq!(headers["retry-after"], seconds.unwrap().to_string());
            }
            seconds.unwrap()
        };
        for _ in 0..4 {
            valid(&token).await;
        }
        assert_eq!(wait().await, 15);
        valid(&other).await;
        app.clock
            .advance(Duration::from_secs(15).saturating_sub(TICK));
        assert_eq!(wait().await, 1, "rounded up");
        app.clock.advance(TICK);
        valid(&token).await;
        assert_eq!(wait().await, 15, "refused uses do not count");
        // Setting the clock back by a day does not block the token for a day.
        app.clock.set(app.app.now().minus(DAY));
        assert_eq!(wait().await, 15);
        app.clock.advance(DAY);
        app.clock.advance(Duration::from_mins(1));
        for _ in 0..4 {
            valid(&token).await;
        }
        assert_eq!(wait().await, 15);
    }
}

#[tokio::test]
async fn rate_limit_covers_every_way_to_verify_and_still_allows_revocation() {
    let app = limited(2).await;
    let token = app.sign_in(&app.admin, json!({})).await;
    let own = format!("Bearer {}", token.text);
    let forward_auth = async || {
        let headers = [("authorization", &*own)];
        app.client.ask(Method::GET, "/forward-auth", &headers).await
    };
    let admin = format!("Bearer {}", app.admin.token);
    let (headers, form) = ([("authorization", &*admin)], [("token", &*token.text)]);
    let introspect = || app.client.form("/oauth2/introspect", &headers, &form);
    assert_eq!(forward_auth().await.head.status, 200);
    assert_eq!(introspect().await.json()["active"], true);
    for reply in [forward_auth().await, introspect().await] {
        assert_eq!(reply.status_and("retry-after"), (429, vec!["30"]));
        assert_eq!(reply.json().get("active"), None);
    }
    verify(&app, Wire::CURL, &token.text)
        .await
        .refused("resource_exhausted", "TOKEN_RATE_LIMITED");
    let revoked = app.client.form("/oauth2/revoke", &[], &form).await;
    assert_eq!(revoked.head.status, 200);
    assert_eq!(forward_auth().await.head.status, 401);
    assert_eq!(introspect().await.json(), json!({ "active": false }));
}

#[tokio::test]
async fn only_valid_uses_of_the_verified_token_count() {
    let app = limited(2).await;
    let token = app
        .sign_in(&app.admin, json!({ "scopes": ["deploy"] }))
        .await;
    let ask = async |scope: &str| {
        let message = json!({ "token": token.text, "requiredScopes": [scope] });
        app.call(&app.admin.token, VERIFY, message).await
    };
    // Its own calls to Hallpass do not count, nor do the verifying caller's.
    for _ in 0..5 {
        assert!(app.accepts(&token.text).await);
        assert_eq!(ask("release").await.ok()["reason"], "SCOPE_MISSING");
    }
    for _ in 0..2 {
        assert_eq!(ask("deploy").await.ok()["valid"], true);
    }
    ask("deploy")
        .await
        .refused("resource_exhausted", "TOKEN_RATE_LIMITED");
    // An invalid token is reported as invalid, however often it is verified.
    let delete = json!({ "tokenId": token.id });
    let deleted = app.call(&app.admin.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    for _ in 0..5 {
        assert_eq!(ask("deploy").await.ok()["reason"], "TOKEN_DELETED");
    }
}

#[tokio::test]
async fn without_a_rate_limit_no_token_is_throttled() {
    let app = TestApp::start().await;
    for _ in 0..200 {
        let answer = verify(&app, Wire::CURL, &app.admin.token).await.ok();
        assert_eq!(answer["valid"], Value::Bool(true));
    }
}
