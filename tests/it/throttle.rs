//! Password guessing is throttled, and Retry-After says for how long.

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{Call, Reply, Wire},
    test_app::{Person, TestApp},
};

const CREATE: &str = "TokenService/CreateToken";

async fn behind_a_proxy() -> TestApp {
    TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

/// Tries a password a millisecond after the last try, since a clock that stands still would be unrealistic.
async fn try_from(app: &TestApp, ip: &str, name: &str, password: &str) -> Reply {
    app.clock.advance(Duration::from_millis(1));
    let message = json!({ "username": name, "password": password });
    let call = Call::new(CREATE, message).header("x-forwarded-for", ip);
    app.client.call(Wire::CURL, call).await
}

/// Asserts that a wrong password was checked.
async fn fail(app: &TestApp, ip: &str, name: &str) {
    let answer = try_from(app, ip, name, "wrong").await;
    answer.refused("unauthenticated", "CREDENTIALS_INVALID");
}

/// Asserts that the attempt is throttled; returns the seconds to wait.
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
    app.clock.advance(Duration::from_mins(1));
    for _ in 0..4 {
        fail(&app, here, "alice").await;
    }
    try_from(&app, here, "alice", &password).await.ok();
}

#[tokio::test]
async fn wait_is_at_most_15_minutes() {
    let app = TestApp::start().await;
    let mut longest = 0;
    for _ in 0..40 {
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
    let app = behind_a_proxy().await;
    app.person("alice").await;
    let mut answers = Vec::new();
    // From a network that neither account knows: one guess a second.
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            app.clock.advance(Duration::from_secs(1));
            fail(&app, "203.0.113.9", name).await;
        }
        for _ in 0..2 {
            let refused = try_from(&app, "203.0.113.9", name, "wrong").await;
            answers.push(refused.raw_refusal());
        }
        app.clock.advance(Duration::from_mins(2));
    }
    assert_eq!(answers[..2], answers[2..]);
}

#[tokio::test]
async fn address_may_try_20_times_at_once_and_then_10_times_a_minute() {
    let app = behind_a_proxy().await;
    let alice = app.person("alice").await;
    let ip = "203.0.113.9";
    fail(&app, ip, "nobody").await;
    for _ in 0..19 {
        assert!(wait(&app, ip, "nobody", "wrong").await >= 1);
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

/// 24 addresses of different networks poll as fast as they can.
#[tokio::test]
async fn owner_that_obeys_retry_after_is_admitted_however_many_poll() {
    let app = behind_a_proxy().await;
    let alice = app.person("alice").await;
    let (owner, attackers) = ("198.51.100.7", 24);
    let (mut due, mut checked, mut passed) = (500, 0, 0);
    let step = Duration::from_millis(250);
    let admitted = loop {
        for n in 0..attackers {
            // An address has 10 attempts a minute, so the pollers change addresses within their network.
            let ip = format!("203.0.{n}.{}", passed / 250 % 250);
            let attempt = try_from(&app, &ip, "alice", "wrong").await;
            match attempt.result.unwrap_err().reason() {
                "CREDENTIALS_INVALID" => checked += 1,
                reason => assert_eq!(reason, "SIGN_IN_THROTTLED"),
            }
            passed += 1;
        }
        app.clock.advance(step);
        passed += 250;
        assert!(passed < 60_000, "the owner was starved");
        if passed < due {
            continue;
        }
        let answer = try_from(&app, owner, "alice", &alice.password).await;
        let Err(refused) = answer.result else {
            break passed;
        };
        let seconds = refused.detail("RetryInfo").unwrap()["seconds"].as_u64();
        assert!(due == 500, "one Retry-After must suffice");
        due = passed + seconds.unwrap() * 1_000;
    };
    assert!(admitted <= 27_000, "{admitted} ms");
    assert!(
        checked * 1_000 <= admitted + 1_000,
        "{checked} guesses in {admitted} ms"
    );
}

#[tokio::test]
async fn known_networks_are_exempt_for_thirty_days_even_after_a_restart() {
    let app = behind_a_proxy().await;
    let alice = app.person("alice").await;
    try_from(&app, "192.0.2.1", "alice", &alice.password)
        .await
        .ok();
    let mut app = app;
    for days in [0, 29, 2] {
        app = app.restart().await;
        app.clock.advance(Duration::from_hours(24 * days));
        fail(&app, "203.0.113.9", "alice").await;
        assert!(wait(&app, "198.51.100.7", "alice", &alice.password).await >= 1);
        let neighbour = "192.0.2.200";
        if days == 2 {
            // The control, and after 31 days.
            assert!(wait(&app, neighbour, "alice", &alice.password).await >= 1);
        } else {
            // A failure, since a sign-in would make the network known again.
            fail(&app, neighbour, "alice").await;
        }
    }
}

#[tokio::test]
async fn networks_are_known_until_the_password_is_set_or_the_user_deactivated() {
    for ending in ["SetPassword", "DeactivateUser"] {
        for restarts in [false, true] {
            let mut app = behind_a_proxy().await;
            let alice = app.person("alice").await;
            let home = "192.0.2.1";
            try_from(&app, home, "alice", &alice.password).await.ok();
            let admin =
                |procedure: &'static str, message| app.call(&app.admin.token, procedure, message);
            if ending == "SetPassword" {
                let message = json!({ "userId": alice.id, "newPassword": alice.password });
                admin("UserService/SetPassword", message).await.ok();
            } else {
                let message = json!({ "id": alice.id });
                admin("UserService/DeactivateUser", message.clone())
                    .await
                    .ok();
                admin("UserService/ReactivateUser", message).await.ok();
            }
            if restarts {
                app = app.restart().await;
            }
            fail(&app, "203.0.113.9", "alice").await;
            let waits = wait(&app, home, "alice", &alice.password).await;
            assert_eq!(waits, 1, "{ending}, {restarts}");
        }
    }
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
async fn changing_ones_own_password_is_throttled() {
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
async fn concurrent_sign_ins_of_one_address_are_queued() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let sign_in = || app.sign_in(&alice, json!({}));
    let (a, b, c, d) = tokio::join!(sign_in(), sign_in(), sign_in(), sign_in());
    for token in [a, b, c, d] {
        assert!(app.accepts(&token.text).await);
    }
}

/// One hash at a time, one queued, and eight accounts at once.
#[tokio::test]
async fn full_queue_is_reported_and_costs_nobody_an_attempt() {
    let app = TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.app.passwords.memory_kib = 16_384;
        settings.app.passwords.queue = 1;
    })
    .await;
    let mut people = Vec::new();
    for i in 1..=8 {
        people.push((
            app.person(&format!("person-{i}")).await,
            format!("192.0.{i}.1"),
        ));
    }
    let at_once = people.iter().map(|(person, ip)| {
        let answer = try_from(&app, ip, &person.name, &person.password);
        async { answer.await.result.map_err(|f| f.reason().to_owned()) }
    });
    let answers = futures_util::future::join_all(at_once).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((1..=7).contains(&refused), "{refused} of 8");
    for answer in answers {
        assert!(answer.is_ok() || answer == Err("OVERLOADED".to_owned()));
    }
    for (person, ip) in &people {
        try_from(&app, ip, &person.name, &person.password)
            .await
            .ok();
    }
}

/// 500 unknown addresses at once, and 20 sign-ins from a known network.
#[tokio::test]
async fn five_hundred_unknown_addresses_do_not_starve_known_networks() {
    let app = TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.app.passwords.memory_kib = 8_192;
    })
    .await;
    let alice = app.person("alice").await;
    try_from(&app, "192.0.2.1", "alice", &alice.password)
        .await
        .ok();
    let flood = futures_util::future::join_all((0..500_u32).map(|n| {
        let (ip, app) = (format!("10.{}.{}.1", n / 250, n % 250), &app);
        async move {
            let answer = try_from(app, &ip, &format!("nobody-{n}"), "wrong").await;
            answer.result.unwrap_err().reason().to_owned()
        }
    }));
    // Also concurrent, each from another address of that network.
    let sign_ins = futures_util::future::join_all((0..20).map(|n| {
        let (ip, app, password) = (format!("192.0.2.{n}"), &app, &alice.password);
        async move { try_from(app, &ip, "alice", password).await.result.is_ok() }
    }));
    let (flooded, signed_in) = tokio::join!(flood, sign_ins);
    let refused = flooded.iter().filter(|reason| *reason == "OVERLOADED");
    assert!(refused.count() > 200, "the control: {flooded:?}");
    let well = signed_in.iter().filter(|ok| **ok).count();
    assert_eq!(well, signed_in.len());
}
