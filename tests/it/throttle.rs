//! Guessing passwords is slowed down, and a client is told for how long.

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{Answer, Call, Wire},
    test_app::{Person, TestApp},
};

const CREATE: &str = "TokenService/CreateToken";

async fn behind_a_proxy() -> TestApp {
    TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

/// A millisecond after the last one: a fake clock that stood still would be unlike any real one.
async fn try_from(app: &TestApp, ip: &str, name: &str, password: &str) -> Answer {
    app.clock.advance(Duration::from_millis(1));
    let message = json!({ "username": name, "password": password });
    let call = Call::new(CREATE, message).header("x-forwarded-for", ip);
    app.client.call(Wire::CURL, call).await
}

/// Fails with a password that was checked.
async fn fail(app: &TestApp, ip: &str, name: &str) {
    let answer = try_from(app, ip, name, "wrong").await;
    answer.refused("unauthenticated", "CREDENTIALS_INVALID");
}

/// Is throttled, and says for how many seconds.
async fn wait(app: &TestApp, ip: &str, name: &str, password: &str) -> i64 {
    let answer = try_from(app, ip, name, password).await;
    let header = answer.headers["retry-after"].to_str().unwrap().to_owned();
    let failure = answer.refused("resource_exhausted", "SIGN_IN_THROTTLED");
    let seconds = failure.detail("RetryInfo").unwrap()["seconds"]
        .as_i64()
        .unwrap();
    assert_eq!(header, seconds.to_string());
    seconds
}

#[tokio::test]
async fn from_the_fifth_failure_in_a_row_the_wait_doubles_and_a_success_ends_it() {
    let app = TestApp::start().await;
    let Person { password, .. } = app.person("alice").await;
    let here = "ignored: no proxy is trusted";
    for _ in 0..5 {
        fail(&app, here, "alice").await;
    }
    for expected in [1, 2, 4, 8] {
        assert_eq!(wait(&app, here, "alice", &password).await, expected);
        let expected_wait = Duration::from_secs(expected.unsigned_abs());
        let almost = expected_wait.saturating_sub(Duration::from_millis(5));
        app.clock.advance(almost);
        assert_eq!(wait(&app, here, "alice", &password).await, 1, "rounded up");
        app.clock.advance(Duration::from_millis(5));
        fail(&app, here, "alice").await;
    }
    app.clock.advance(Duration::from_secs(16));
    try_from(&app, here, "alice", &password).await.ok();
    for _ in 0..4 {
        fail(&app, here, "alice").await;
    }
    try_from(&app, here, "alice", &password).await.ok();
}

#[tokio::test]
async fn wait_is_at_most_15_minutes() {
    let app = TestApp::start().await;
    let mut longest = 0;
    for _ in 0..30 {
        let answer = try_from(&app, "", "alice", "wrong")
            .await
            .result
            .unwrap_err();
        if let Some(info) = answer.detail("RetryInfo") {
            let seconds = info["seconds"].as_u64().unwrap();
            longest = longest.max(seconds);
            app.clock.advance(Duration::from_secs(seconds));
        }
    }
    assert_eq!(longest, 15 * 60);
}

#[tokio::test]
async fn unknown_names_are_throttled_like_known_ones() {
    let app = TestApp::start().await;
    app.person("alice").await;
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            fail(&app, "", name).await;
        }
        answers.push(try_from(&app, "", name, "wrong").await.raw_refusal());
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn address_fails_20_times_at_once_and_then_10_times_a_minute() {
    let app = behind_a_proxy().await;
    let alice = app.person("alice").await;
    let ip = "203.0.113.9";
    for i in 0..20 {
        fail(&app, ip, &format!("nobody-{i}")).await;
    }
    assert_eq!(wait(&app, ip, "alice", &alice.password).await, 6);
    try_from(&app, "198.51.100.7", "alice", &alice.password)
        .await
        .ok();
    for i in 0..4 {
        app.clock.advance(Duration::from_secs(6));
        fail(&app, ip, &format!("somebody-{i}")).await;
        assert_eq!(wait(&app, ip, "alice", &alice.password).await, 6);
    }
}

#[tokio::test]
async fn many_addresses_slow_an_account_for_at_most_a_minute_but_spare_where_it_signed_in() {
    let app = behind_a_proxy().await;
    let alice = app.person("alice").await;
    try_from(&app, "192.0.2.1", "alice", &alice.password)
        .await
        .ok();
    let mut longest = 0;
    for i in 0..40 {
        let ip = format!("203.0.{i}.9");
        let answer = try_from(&app, &ip, "alice", "wrong").await;
        if let Some(info) = answer.result.unwrap_err().detail("RetryInfo") {
            let seconds = info["seconds"].as_u64().unwrap();
            longest = longest.max(seconds);
            app.clock.advance(Duration::from_secs(seconds));
        }
    }
    assert_eq!(longest, 60);
    let strange = "198.51.100.7";
    app.clock.advance(Duration::from_mins(1));
    fail(&app, strange, "alice").await;
    assert_eq!(wait(&app, strange, "alice", &alice.password).await, 60);
    let neighbour = "192.0.2.200";
    try_from(&app, neighbour, "alice", &alice.password)
        .await
        .ok();

    app.clock.advance(Duration::from_hours(31 * 24));
    for i in 0..12 {
        let ip = format!("203.1.{i}.9");
        let _ = try_from(&app, &ip, "alice", "wrong").await;
    }
    assert!(wait(&app, "192.0.2.1", "alice", &alice.password).await >= 1);
}

#[tokio::test]
async fn bearer_tokens_are_never_throttled() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let mut wrong = alice.token.clone().into_bytes();
    let last = wrong.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let wrong = String::from_utf8(wrong).unwrap();
    for _ in 0..60 {
        assert!(!app.accepts(&wrong).await);
    }
    assert!(app.accepts(&alice.token).await);
    for _ in 0..30 {
        app.sign_in(&alice, json!({})).await;
    }
}

#[tokio::test]
async fn setting_ones_own_password_is_throttled_too() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let new = "another drowsy lantern hums";
    let set = async || {
        app.clock.advance(Duration::from_millis(1));
        let message = json!({ "oldPassword": "wrong", "newPassword": new });
        app.call(&alice.token, "UserService/SetPassword", message)
            .await
    };
    for _ in 0..5 {
        set()
            .await
            .refused("permission_denied", "CREDENTIALS_INVALID");
    }
    let throttled = set().await;
    assert_eq!(throttled.headers["retry-after"], "1");
    throttled.refused("resource_exhausted", "SIGN_IN_THROTTLED");
}

#[tokio::test]
async fn sign_ins_of_one_address_at_once_wait_for_their_turn() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let sign_in = || app.sign_in(&alice, json!({}));
    let (a, b, c, d) = tokio::join!(sign_in(), sign_in(), sign_in(), sign_in());
    for token in [a, b, c, d] {
        assert!(app.accepts(&token.text).await);
    }
}

/// One hash at a time, one that waits, and eight addresses that want one at once (an account has ten before it slows).
#[tokio::test]
async fn full_queue_is_told_and_costs_nobody_an_attempt() {
    let app = TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.app.passwords.memory_kib = 16_384;
        settings.app.passwords.queue = 1;
    })
    .await;
    let alice = app.person("alice").await;
    let addresses = (1..=8).map(|i| format!("192.0.{i}.1"));
    let addresses: Vec<_> = addresses.collect();
    let at_once = addresses.iter().map(|ip| {
        let answer = try_from(&app, ip, "alice", &alice.password);
        async { answer.await.result.map_err(|f| f.reason().to_owned()) }
    });
    let answers = futures_util::future::join_all(at_once).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((1..=7).contains(&refused), "{refused} of 8");
    for answer in answers {
        assert!(answer.is_ok() || answer == Err("OVERLOADED".to_owned()));
    }
    for ip in &addresses {
        try_from(&app, ip, "alice", &alice.password).await.ok();
    }
}
