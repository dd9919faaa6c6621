//! `expire_time`: which values are accepted, and how they are stored.

use std::time::Duration;

use bytes::Bytes;
use hallpass::{
    domain::time::Timestamp,
    proto::hallpass::v1::{CreateTokenRequest, CreateTokenResponse},
};
use http::{HeaderMap, Request};
use pbjson_types::Timestamp as ProtoTimestamp;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use crate::test_app::{START, TestApp, rfc3339};

const CREATE: &str = "TokenService/CreateToken";
const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;

/// Creates a token over Connect binary, where a timestamp can be any two numbers. Returns the reply's expiry or the
/// error's message.
async fn create_raw(app: &TestApp, seconds: i64, nanos: i32) -> Result<ProtoTimestamp, String> {
    let message = CreateTokenRequest {
        expire_time: Some(ProtoTimestamp { seconds, nanos }),
        ..CreateTokenRequest::default()
    };
    let request = Request::post("/hallpass.v1.TokenService/CreateToken")
        .header("content-type", "application/proto")
        .header("authorization", format!("Bearer {}", app.admin.token))
        .body(Bytes::from(message.encode_to_vec()))
        .unwrap();
    let reply = app.client.send(request, HeaderMap::new(), false).await;
    if reply.head.status == 200 {
        let created = CreateTokenResponse::decode(reply.body).unwrap();
        return Ok(created.metadata.unwrap().expire_time.unwrap());
    }
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(error["code"], "invalid_argument");
    Err(error["message"].as_str().unwrap().to_owned())
}

/// The expected result: the time rounded down to the microsecond; `None` if it is refused.
fn expected(now: Timestamp, seconds: i64, nanos: i32) -> Option<(i64, i32)> {
    let in_range =
        (MIN_SECONDS..=MAX_SECONDS).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    let kept = (seconds, nanos / 1_000 * 1_000);
    (in_range && kept > now.to_parts()).then_some(kept)
}

#[tokio::test]
async fn expiry_boundaries_are_exact() {
    let app = TestApp::start().await;
    let (now, now_nanos) = START.to_parts();
    for (seconds, nanos) in [
        (MIN_SECONDS - 1, 0),
        (MIN_SECONDS, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (-1, 999_999_999),
        (0, 0),
        (now, now_nanos - 1),
        (now, now_nanos),
        (now, now_nanos + 999),
        (now, now_nanos + 1_000),
        (now, now_nanos + 1_999),
        (now + 1, -1),
        (now + 1, 1_000_000_000),
        (now + 1, i32::MIN),
        (now + 1, i32::MAX),
        (now + 1, 999_999_999),
        (MAX_SECONDS, 999_999_999),
        (MAX_SECONDS + 1, 0),
    ] {
        let kept = create_raw(&app, seconds, nanos).await;
        let kept = kept.map(|time| (time.seconds, time.nanos));
        match (kept, expected(START, seconds, nanos)) {
            (Ok(kept), Some(expected)) => assert_eq!(kept, expected),
            (Err(message), None) => assert!(message.starts_with("expire_time: "), "{message}"),
            other => panic!("{seconds} s {nanos} ns: {other:?}"),
        }
    }
}

#[test]
fn any_timestamp_is_stored_to_the_microsecond_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (now, _) = START.to_parts();
    let app = runtime.block_on(TestApp::start_with(|settings| {
        settings.app.max_tokens_per_user = u32::MAX;
    }));
    let seconds = prop_oneof![
        any::<i64>(),
        MIN_SECONDS - 2..MIN_SECONDS + 2,
        MAX_SECONDS - 2..MAX_SECONDS + 2,
        now - 2..now + 2,
        now..MAX_SECONDS,
    ];
    let nanos = prop_oneof![
        any::<i32>(),
        0..1_000_000_000,
        -2..2_i32,
        999_999_998..1_000_000_002_i32
    ];
    proptest!(|(seconds in seconds, nanos in nanos)| {
        let kept = runtime.block_on(create_raw(&app, seconds, nanos)).ok();
        let kept = kept.map(|time| (time.seconds, time.nanos));
        prop_assert_eq!(kept, expected(START, seconds, nanos));
    });
}

#[tokio::test]
async fn absent_expiry_means_never_and_is_returned_unset() {
    let app = TestApp::start().await;
    for message in [json!({}), json!({ "expireTime": null })] {
        let token = app.child(&app.admin.token, message).await;
        assert_eq!(token.metadata.get("expireTime"), None);
        let stored: Option<i64> = app
            .sql()
            .query_one(
                "SELECT expire_time FROM tokens WHERE id = ?1",
                [&token.id],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(stored, None, "stored as null, not as a magic number");
    }
}

#[tokio::test]
async fn json_times_are_returned_in_utc_and_rounded_down() {
    let app = TestApp::start().await;
    for (asked, kept) in [
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
        ("2030-01-01T02:00:00+02:00", "2030-01-01T00:00:00Z"),
        ("2030-01-01T00:00:00.000000999Z", "2030-01-01T00:00:00Z"),
        ("2030-01-01T00:00:00.5Z", "2030-01-01T00:00:00.500Z"),
        (
            "2030-01-01T00:00:00.123456789Z",
            "2030-01-01T00:00:00.123456Z",
        ),
        (
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999999Z",
        ),
    ] {
        let token = app.child(&app.admin.token, json!({ "expireTime": asked }));
        assert_eq!(token.await.metadata["expireTime"], kept);
    }
}

#[tokio::test]
async fn token_works_until_its_expiry_to_the_microsecond() {
    let app = TestApp::start().await;
    let lifetime = Duration::from_mins(1);
    let message = json!({ "expireTime": app.clock.after(lifetime) });
    let token = app.sign_in(&app.admin, message).await;
    app.clock
        .advance(lifetime.saturating_sub(Duration::from_micros(1)));
    assert!(app.accepts(&token.text).await);
    app.clock.advance(Duration::from_micros(1));
    let answer = app.call(&token.text, "AuthnService/GetCurrentUser", json!({}));
    answer.await.refused("unauthenticated", "TOKEN_EXPIRED");
}

#[tokio::test]
async fn expiry_beyond_the_maximum_is_refused_not_clamped() {
    let max = Duration::from_hours(90 * 24);
    let app = TestApp::start_with(|settings| settings.app.people.max_ttl = Some(max)).await;
    let sign_in = async |expire_time: Value| {
        let mut message = json!({ "username": "admin", "password": app.admin.password });
        message["expireTime"] = expire_time;
        app.call("", CREATE, message).await
    };
    let last = app.clock.after(max);
    let beyond = app.clock.after(max + Duration::from_micros(1));
    for too_long in [Value::Null, beyond.into()] {
        let failure = sign_in(too_long).await;
        let failure = failure.refused("failed_precondition", "LIFETIME_TOO_LONG");
        assert!(failure.message.contains(" 90d"), "{failure:?}");
    }
    let created = sign_in(last.clone().into()).await.ok();
    assert_eq!(created["metadata"]["expireTime"], last);
}

#[test]
fn rfc3339_helper_writes_canonical_json_times() {
    assert_eq!(rfc3339(START), "2026-01-02T03:04:05.678901Z");
}

#[tokio::test]
async fn never_expires_overrides_the_default_but_not_the_maximum() {
    let day = Duration::from_hours(24);
    let app = TestApp::start_with(|settings| settings.app.people.default_ttl = Some(day)).await;
    let token = app.admin.token.clone();
    let create = async |message: Value| app.call(&token, CREATE, message).await;
    let plain = create(json!({})).await.ok();
    assert_eq!(plain["metadata"]["expireTime"], app.clock.after(day));
    let by_password = json!({
        "username": app.admin.name,
        "password": app.admin.password,
        "neverExpires": true,
    });
    let by_password = app.call("", CREATE, by_password).await.ok();
    assert_eq!(by_password["metadata"].get("expireTime"), None);
    let both = json!({ "neverExpires": true, "expireTime": app.clock.after(day) });
    create(both).await.invalid_field("never_expires");
    let app = app
        .restart_with(|settings| settings.app.people.max_ttl = Some(day * 2))
        .await;
    let never = json!({
        "username": app.admin.name,
        "password": app.admin.password,
        "neverExpires": true,
    });
    let answer = app.call("", CREATE, never).await;
    answer.refused("failed_precondition", "LIFETIME_TOO_LONG");
}

/// A token never outlives the token that created it, whatever the request says.
#[tokio::test]
async fn never_expires_does_not_outlive_the_parent() {
    let app = TestApp::start().await;
    let soon = json!({ "expireTime": app.clock.after(Duration::from_hours(1)) });
    let parent = app.sign_in(&app.admin, soon).await;
    let answer = app.call(&parent.text, CREATE, json!({ "neverExpires": true }));
    answer
        .await
        .refused("failed_precondition", "OUTLIVES_PARENT");
}
