//! `ListTokens`: live tokens in order and in pages, and the tokens that expire soon, of one user or of all.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::TestApp;

pub(crate) const LIST: &str = "TokenService/ListTokens";
const LIST_ALL: &str = "AdminService/ListAllTokens";

/// The IDs of one page, and the token of the next page.
async fn page(app: &TestApp, by: &str, request: Value) -> (Vec<String>, String) {
    let reply = app.call(by, LIST, request).await.ok();
    let tokens = reply["tokens"].as_array().into_iter().flatten();
    let ids = tokens.map(|token| token["id"].as_str().unwrap().to_owned());
    let next = reply["nextPageToken"].as_str().unwrap_or_default();
    (ids.collect(), next.to_owned())
}

pub(crate) async fn all(app: &TestApp, by: &str, mut request: Value) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let (ids, next) = page(app, by, request.clone()).await;
        pages.push(ids);
        if next.is_empty() {
            return pages;
        }
        request["pageToken"] = next.into();
    }
}

/// Creates three tokens at each of four times of the fake clock.
async fn twelve(app: &TestApp, by: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..4 {
        let mut same_moment = Vec::new();
        for _ in 0..3 {
            same_moment.push(app.child(by, json!({})).await.id);
        }
        same_moment.sort();
        ids.extend(same_moment);
        app.clock.advance(Duration::from_micros(1));
    }
    ids
}

#[tokio::test]
async fn order_is_by_create_time_and_id_ascending_or_descending() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    app.clock.advance(Duration::from_secs(1));
    let made = twelve(&app, &robot.token).await;
    let by = &alice.token;
    for size in 1..=14 {
        let request = json!({ "userId": robot.id, "pageSize": size });
        let pages = all(&app, by, request.clone()).await;
        let full = |page: &Vec<String>| page.len() == size;
        assert!(pages[..pages.len() - 1].iter().all(full), "size {size}");
        assert!(
            !pages.last().unwrap().is_empty(),
            "empty exactly at the end"
        );
        let mut rising = pages.concat();
        assert_eq!(rising[1..], made, "size {size}");
        let mut request = request;
        request["reverse"] = true.into();
        let falling = all(&app, by, request).await.concat();
        rising.reverse();
        assert_eq!(falling, rising, "size {size}");
    }
}

#[tokio::test]
async fn page_sizes_are_50_by_default_and_250_at_most() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for _ in 0..259 {
        app.child(&alice.token, json!({})).await;
    }
    for (asked, got) in [(0, 50), (249, 249), (250, 250), (251, 250), (u32::MAX, 250)] {
        let (ids, next) = page(&app, &alice.token, json!({ "pageSize": asked })).await;
        assert_eq!(ids.len(), got, "{asked}");
        assert!(!next.is_empty());
    }
}

#[tokio::test]
async fn only_live_tokens_are_listed_disabled_ones_included() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let expires = json!({ "expireTime": app.clock.after(Duration::from_secs(1)) });
    let expiring = app.sign_in(&alice, expires).await;
    let deleted = app.sign_in(&alice, json!({})).await;
    let disabled = app.sign_in(&alice, json!({})).await;
    let sql = "UPDATE tokens SET disabled = 1 WHERE id = ?1";
    app.sql().execute(sql, [&disabled.id]).unwrap();
    let (before, _) = page(&app, &alice.token, json!({})).await;
    assert_eq!(before.len(), 4);
    let delete = json!({ "tokenId": deleted.id });
    let delete = app.call(&alice.token, "TokenService/DeleteToken", delete);
    delete.await.ok();
    app.clock.advance(Duration::from_secs(1));
    let (after, next) = page(&app, &alice.token, json!({})).await;
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&expiring.id) && after.contains(&disabled.id));
    assert_eq!(next, "");
}

#[tokio::test]
async fn caller_may_list_only_tokens_it_may_see() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let bob = app.person("bob").await;
    for (by, whose) in [
        (&alice, &alice.id),
        (&alice, &robot.id),
        (&app.admin, &alice.id),
        (&app.admin, &robot.id),
    ] {
        let (ids, _) = page(&app, &by.token, json!({ "userId": whose })).await;
        assert_eq!(ids.len(), 1);
    }
    let foreign = app.call(&bob.token, LIST, json!({ "userId": alice.id }));
    let foreign = foreign.await;
    let same = foreign.clone().raw_refusal();
    foreign.refused("permission_denied", "PERMISSION_DENIED");
    for whose in [&robot.id, &app.admin.id, "0000000000000000000000", "x"] {
        let answer = app.call(&bob.token, LIST, json!({ "userId": whose }));
        assert_eq!(answer.await.raw_refusal(), same, "{whose}");
    }
    let owners = app.call(&robot.token, LIST, json!({ "userId": alice.id }));
    assert_eq!(owners.await.raw_refusal(), same);
    let unknown = app.call(&app.admin.token, LIST, json!({ "userId": "x" }));
    unknown.await.refused("not_found", "USER_NOT_FOUND");
}

#[tokio::test]
async fn page_token_is_bound_to_every_field_but_the_page_size() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let bob = app.person("bob").await;
    twelve(&app, &alice.token).await;
    let request = json!({ "userId": alice.id, "pageSize": 2 });
    let (_, next) = page(&app, &alice.token, request).await;
    let with = |mut request: Value| {
        request["pageToken"] = next.clone().into();
        request
    };
    let alices = &alice.token;
    let by = [alices, alices, alices, &bob.token, alices];
    let requests = [
        json!({ "userId": alice.id, "reverse": true }),
        json!({ "userId": robot.id }),
        json!({}),
        json!({ "userId": bob.id }),
        json!({ "userId": alice.id, "includeEnded": true }),
    ];
    for (by, request) in by.into_iter().zip(requests) {
        let answer = app.call(by, LIST, with(request.clone())).await;
        let failure = answer.invalid_field("page_token");
        assert!(!failure.message.contains(&next), "{request}");
    }
    let users = app.call(&app.admin.token, "UserService/ListUsers", with(json!({})));
    users.await.invalid_field("page_token");
    let nonsense = app.call(&alice.token, LIST, json!({ "pageToken": "x" }));
    nonsense.await.invalid_field("page_token");

    let mut other_size = with(json!({ "userId": alice.id, "pageSize": 5 }));
    let (ids, _) = page(&app, &alice.token, other_size.clone()).await;
    assert_eq!(ids.len(), 5);
    // It survives a restart, and an admin who requests the same list may continue with it.
    let app = app.restart().await;
    let again = page(&app, &alice.token, other_size.clone()).await;
    assert_eq!(again.0, ids);
    other_size["pageSize"] = 5.into();
    let by_admin = page(&app, &app.admin.token, other_size).await;
    assert_eq!(by_admin.0, ids);
}

#[tokio::test]
async fn authorisation_is_checked_again_on_every_page() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    twelve(&app, &robot.token).await;
    let mut request = json!({ "userId": robot.id, "pageSize": 2 });
    let (_, next) = page(&app, &alice.token, request.clone()).await;
    request["pageToken"] = next.into();
    let owner = json!({ "userId": robot.id, "ownerId": app.admin.id });
    let moved = app.call(&app.admin.token, "UserService/SetOwner", owner);
    moved.await.ok();
    let answer = app.call(&alice.token, LIST, request).await;
    answer.refused("permission_denied", "PERMISSION_DENIED");
}

/// The notes of all listed tokens, over all pages.
async fn notes(app: &TestApp, by: &str, procedure: &str, mut request: Value) -> Vec<String> {
    let mut notes = Vec::new();
    loop {
        let page = app.call(by, procedure, request.clone()).await.ok();
        let found = page["tokens"].as_array().into_iter().flatten();
        notes.extend(found.map(|token| token["note"].as_str().unwrap().to_owned()));
        match page.get("nextPageToken") {
            Some(next) => request["pageToken"] = next.clone(),
            None => return notes,
        }
    }
}

fn days(days: u64) -> Duration {
    Duration::from_hours(days * 24)
}

/// Tokens of two users; the note says in how many days each expires.
async fn varied(app: &TestApp) -> (String, String) {
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    for (user, expiry) in [
        (&alice.id, 6),
        (&robot.id, 5),
        (&alice.id, 0),
        (&alice.id, 3),
        (&robot.id, 30),
        (&alice.id, 1),
        (&robot.id, 4),
        (&alice.id, 30),
    ] {
        let mut fields =
            json!({ "note": expiry.to_string(), "scopes": ["deploy"], "userId": user });
        if expiry > 0 {
            fields["expireTime"] = app.clock.after(days(expiry)).into();
        }
        let made = app.child(&alice.token, fields).await;
        let call = |procedure, message| app.call(&alice.token, procedure, message);
        if expiry == 5 {
            let disable = json!({ "tokenId": made.id, "disabled": true });
            call("TokenService/UpdateToken", disable).await.ok();
        }
        if expiry == 6 {
            let gone = json!({ "note": "gone", "expireTime": app.clock.after(days(3)) });
            let gone = app.child(&alice.token, gone).await;
            let delete = json!({ "tokenId": gone.id });
            call("TokenService/DeleteToken", delete).await.ok();
        }
    }
    // One of them has expired by now.
    app.clock.advance(days(2));
    (alice.token, robot.id)
}

#[tokio::test]
async fn expiring_tokens_are_listed_soonest_first() {
    let app = TestApp::start().await;
    let (alice, robot) = varied(&app).await;
    let admin = app.admin.token.clone();
    let week = app.clock.after(days(7));
    for size in [1, 2, 250] {
        for reverse in [false, true] {
            let in_order = |notes: &[&str]| {
                let mut notes: Vec<_> = notes.iter().map(|note| (*note).to_owned()).collect();
                if reverse {
                    notes.reverse();
                }
                notes
            };
            let of = |message: Value| {
                let mut message = message;
                message["pageSize"] = size.into();
                message["reverse"] = reverse.into();
                message
            };
            let own = of(json!({ "expiringBefore": week }));
            let own = notes(&app, &alice, LIST, own).await;
            assert_eq!(own, in_order(&["3", "6"]));
            let robots = of(json!({ "expiringBefore": week, "userId": robot }));
            let robots = notes(&app, &alice, LIST, robots).await;
            assert_eq!(robots, in_order(&["4", "5"]));
            for (more, expected) in [
                (json!({}), &["3", "4", "5", "6"][..]),
                (json!({ "scope": "deploy" }), &["3", "4", "5", "6"]),
                (json!({ "scope": "read" }), &[]),
                (json!({ "userId": robot }), &["4", "5"]),
                (json!({ "state": "TOKEN_STATE_LIVE" }), &["3", "4", "6"]),
                (json!({ "state": "TOKEN_STATE_DISABLED" }), &["5"]),
                (json!({ "state": "TOKEN_STATE_EXPIRED" }), &[]),
                (json!({ "neverExpires": true }), &[]),
                (
                    json!({ "expireTimeBefore": app.clock.after(days(3)) }),
                    &["3", "4"],
                ),
            ] {
                let mut filter = more;
                filter["expiringBefore"] = week.clone().into();
                let all = notes(&app, &admin, LIST_ALL, of(json!({ "filter": filter }))).await;
                assert_eq!(all, in_order(expected), "{filter}");
                let count = json!({ "filter": filter });
                let count = app.call(&admin, "AdminService/CountAllTokens", count);
                let count = count.await.ok();
                let number = |name: &str| count[name].as_u64().unwrap_or_default();
                let found = number("liveCount") + number("disabledCount");
                assert_eq!(found, u64::try_from(expected.len()).unwrap(), "{filter}");
                assert_eq!(number("expiredCount"), 0);
            }
        }
    }
}

#[tokio::test]
async fn page_token_is_bound_to_its_expiry_bound() {
    let app = TestApp::start().await;
    let (alice, _) = varied(&app).await;
    let [week, year] = [7, 365].map(|number| app.clock.after(days(number)));
    let lists = |time: &str| {
        [
            (&alice, LIST, json!({ "expiringBefore": time })),
            (
                &app.admin.token,
                LIST_ALL,
                json!({ "filter": { "expiringBefore": time } }),
            ),
        ]
    };
    for ((by, procedure, request), (_, _, other)) in lists(&week).into_iter().zip(lists(&year)) {
        let mut first = request.clone();
        first["pageSize"] = 1.into();
        let page = app.call(by, procedure, first).await.ok();
        for other in [other, json!({})] {
            let mut other = other;
            other["pageToken"] = page["nextPageToken"].clone();
            app.call(by, procedure, other)
                .await
                .invalid_field("page_token");
        }
    }
    let odd = json!({ "expiringBefore": "9999-12-31T23:59:59.999999999Z" });
    assert_eq!(notes(&app, &alice, LIST, odd).await.len(), 3);
}
