//! Listing the tokens that expire soon, of one user and of all.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::TestApp;

const LIST: &str = "TokenService/ListTokens";
const LIST_ALL: &str = "AdminService/ListAllTokens";

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
