//! `ListAllTokens` and `CountAllTokens`: the tokens of all users.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hallpass::app::background::last_use::Flush;
use serde_json::{Value, json};

use crate::test_app::TestApp;

const LIST: &str = "AdminService/ListAllTokens";
const COUNT: &str = "AdminService/CountAllTokens";

/// All tokens that `filter` selects, over all pages.
async fn all(app: &TestApp, filter: &Value, size: u32, reverse: bool) -> Vec<Value> {
    let mut request = json!({ "filter": filter, "pageSize": size, "reverse": reverse });
    let mut tokens = Vec::new();
    loop {
        let page = app.call(&app.admin.token, LIST, request.clone()).await.ok();
        let found = page["tokens"].as_array().into_iter().flatten();
        tokens.extend(found.cloned());
        match page.get("nextPageToken") {
            Some(next) => request["pageToken"] = next.clone(),
            None => return tokens,
        }
    }
}

fn ids(tokens: &[Value]) -> Vec<String> {
    let ids = tokens.iter().map(|token| token["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

async fn counts(app: &TestApp, filter: &Value) -> [usize; 3] {
    let request = json!({ "filter": filter });
    let answer = app.call(&app.admin.token, COUNT, request).await.ok();
    ["liveCount", "disabledCount", "expiredCount"]
        .map(|count| usize::try_from(answer[count].as_u64().unwrap_or_default()).unwrap())
}

/// Creates tokens of each kind, of two users.
async fn varied(app: &TestApp) -> (String, String) {
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    for number in 0..24_u64 {
        let expires = app.clock.after(Duration::from_secs(20 + number % 7 * 10));
        let scope = ["deploy", "de_ploy", "read"][usize::try_from(number % 3).unwrap()];
        let mut fields = json!({ "scopes": [scope] });
        if number % 4 != 0 {
            fields["expireTime"] = expires.into();
        }
        if number % 5 == 0 {
            fields["userId"] = robot.id.clone().into();
        }
        let made = if number % 2 == 0 {
            app.sign_in(&alice, fields).await
        } else {
            app.child(&alice.token, fields).await
        };
        let set = match number % 6 {
            0 => "disabled = 1",
            1 => "delete_time = 1",
            2 => "last_use_time = create_time + 15000000",
            _ => "note = 'as it was'",
        };
        let sql = format!("UPDATE tokens SET {set} WHERE id = ?1");
        assert_eq!(app.sql().execute(&sql, [&made.id]).unwrap(), 1);
        app.clock.advance(Duration::from_secs(1));
    }
    // Some expire.
    app.clock.advance(Duration::from_secs(20));
    (alice.id, alice.token)
}

/// All listed tokens, with columns that only the database has.
fn state(app: &TestApp, token: &Value) -> &'static str {
    let now = app.clock.after(Duration::ZERO);
    // Times in the same format compare as text.
    let expired = token
        .get("expireTime")
        .is_some_and(|end| end.as_str().unwrap() <= now.as_str());
    match (expired, token["disabled"] == true) {
        (true, _) => "TOKEN_STATE_EXPIRED",
        (false, true) => "TOKEN_STATE_DISABLED",
        (false, false) => "TOKEN_STATE_LIVE",
    }
}

type Model<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

async fn selects_what_the_model_does(
    app: &TestApp,
    everything: &[Value],
    filter: &Value,
    model: &Model<'_>,
) {
    let expected: Vec<_> = everything
        .iter()
        .filter(|token| model(token))
        .cloned()
        .collect();
    assert!(
        (1..everything.len()).contains(&expected.len()),
        "{filter} selects {}",
        expected.len()
    );
    for (size, reverse) in [(3, false), (250, false), (2, true)] {
        let mut found = all(app, filter, size, reverse).await;
        if reverse {
            found.reverse();
        }
        assert_eq!(ids(&found), ids(&expected), "{filter}");
    }
    let of = |wanted| {
        expected
            .iter()
            .filter(|token| state(app, token) == wanted)
            .count()
    };
    let expected = [
        "TOKEN_STATE_LIVE",
        "TOKEN_STATE_DISABLED",
        "TOKEN_STATE_EXPIRED",
    ]
    .map(of);
    assert_eq!(counts(app, filter).await, expected, "{filter}");
}

#[tokio::test]
async fn each_filter_matches_the_model_and_counts_match_the_list() {
    let app = TestApp::start().await;
    let (alice, alices) = varied(&app).await;
    let parent = alices.split('_').nth(1).unwrap();
    // So that all uses are stored, the lister's, too: a search for unused tokens stores them
    // by itself.
    counts(&app, &json!({})).await;
    app.app.flush_uses(Flush::Now).await.unwrap();
    let everything = all(&app, &json!({}), 7, false).await;
    // 24 minus 4 deleted ones, plus the first tokens of the robot, Alice and the admin.
    assert_eq!(everything.len(), 24 - 4 + 3);
    let middle = everything[12]["createTime"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let later = app.clock.after(Duration::from_secs(15));
    let named = |scope: &'static str| {
        move |token: &Value| {
            token["scopes"]
                .as_array()
                .is_some_and(|all| all.contains(&scope.into()))
        }
    };
    let of_state = |wanted: &'static str| {
        let app = &app;
        move |token: &Value| state(app, token) == wanted
    };
    let models: Vec<(Value, Model<'_>)> = vec![
        (
            json!({ "userId": alice }),
            Box::new(|token| token["userId"] == alice.as_str()),
        ),
        (
            json!({ "parentId": parent }),
            Box::new(|token| token["parentId"] == parent),
        ),
        (
            json!({ "familyId": parent }),
            Box::new(|token| token["id"] == parent),
        ),
        (
            json!({ "createTimeFrom": middle }),
            Box::new(|token| text(&token["createTime"]) >= text(&middle)),
        ),
        (
            json!({ "createTimeBefore": middle }),
            Box::new(|token| text(&token["createTime"]) < text(&middle)),
        ),
        (
            json!({ "unusedSince": middle }),
            Box::new(|token| {
                let used = token.get("lastUse").map(|used| text(&used["time"]));
                text(&token["createTime"]) < text(&middle)
                    && used.is_none_or(|used| used < text(&middle))
            }),
        ),
        (json!({ "scope": "deploy" }), Box::new(named("deploy"))),
        (json!({ "scope": "de_ploy" }), Box::new(named("de_ploy"))),
        (
            json!({ "expireTimeBefore": later }),
            Box::new(|token| token.get("expireTime").is_some_and(|end| text(end) < later)),
        ),
        (
            json!({ "neverExpires": true }),
            Box::new(|token| token.get("expireTime").is_none()),
        ),
        (
            json!({ "state": "TOKEN_STATE_LIVE" }),
            Box::new(of_state("TOKEN_STATE_LIVE")),
        ),
        (
            json!({ "state": "TOKEN_STATE_DISABLED" }),
            Box::new(of_state("TOKEN_STATE_DISABLED")),
        ),
        (
            json!({ "state": "TOKEN_STATE_EXPIRED" }),
            Box::new(of_state("TOKEN_STATE_EXPIRED")),
        ),
        (
            json!({ "userId": alice, "parentId": parent, "scope": "read" }),
            Box::new(|token| {
                token["userId"] == alice.as_str()
                    && token["parentId"] == parent
                    && named("read")(token)
            }),
        ),
    ];
    for (filter, model) in models {
        selects_what_the_model_does(&app, &everything, &filter, &model).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_tokens_are_listed_exactly_once_during_changes() {
    let app = Arc::new(TestApp::start().await);
    let alice = app.person("alice").await;
    let mut stays = BTreeSet::new();
    for _ in 0..60 {
        stays.insert(app.sign_in(&alice, json!({ "scopes": ["stays"] })).await.id);
        app.clock.advance(Duration::from_micros(400));
    }
    let ended = Arc::new(AtomicBool::new(false));
    let guests: Vec<_> = (0..2)
        .map(|_| {
            let (app, ended, by) = (Arc::clone(&app), Arc::clone(&ended), alice.token.clone());
            tokio::spawn(async move {
                let mut before: Option<String> = None;
                while !ended.load(Ordering::SeqCst) {
                    let new = app.child(&by, json!({})).await.id;
                    if let Some(id) = before.replace(new) {
                        let delete = json!({ "tokenId": id });
                        app.call(&by, "TokenService/DeleteToken", delete).await.ok();
                    }
                }
            })
        })
        .collect();
    for filter in [json!({}), json!({ "userId": alice.id })] {
        for (size, reverse) in [(1, false), (4, true), (7, false), (50, true)] {
            let found = all(&app, &filter, size, reverse).await;
            let distinct: BTreeSet<_> = ids(&found).into_iter().collect();
            assert_eq!(
                distinct.len(),
                found.len(),
                "a token was listed twice: {filter} by {size}"
            );
            assert!(
                distinct.is_superset(&stays),
                "a token is missing: {filter} by {size}"
            );
        }
    }
    ended.store(true, Ordering::SeqCst);
    for guest in guests {
        guest.await.unwrap();
    }
}

#[tokio::test]
async fn malformed_fields_are_named_and_unknown_users_are_not_found() {
    let app = TestApp::start().await;
    for (filter, field) in [
        (json!({ "familyId": "x" }), "filter.family_id"),
        (json!({ "parentId": "0" }), "filter.parent_id"),
        (json!({ "scope": "not one" }), "filter.scope"),
        (json!({ "state": 4 }), "filter.state"),
    ] {
        for procedure in [LIST, COUNT] {
            let request = json!({ "filter": filter });
            let answer = app.call(&app.admin.token, procedure, request).await;
            answer.invalid_field(field);
        }
    }
    for unknown in ["x", "0000000000000000000000"] {
        for procedure in [LIST, COUNT] {
            let request = json!({ "filter": { "userId": unknown } });
            let answer = app.call(&app.admin.token, procedure, request).await;
            answer.refused("not_found", "USER_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn page_token_is_bound_to_the_filter_and_the_order() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    app.child(&alice.token, json!({})).await;
    let filter = json!({ "userId": alice.id });
    let page = json!({ "filter": filter, "pageSize": 1 });
    let page = app.call(&app.admin.token, LIST, page).await.ok();
    let next = page["nextPageToken"].as_str().unwrap();
    for other in [
        json!({ "pageToken": next }),
        json!({ "pageToken": next, "filter": filter, "reverse": true }),
        json!({ "pageToken": next, "filter": { "userId": alice.id, "neverExpires": true } }),
        json!({ "pageToken": next, "filter": { "userId": app.admin.id } }),
    ] {
        let answer = app.call(&app.admin.token, LIST, other).await;
        answer.invalid_field("page_token");
    }
    let revoke = json!({ "pageToken": next, "filter": filter });
    let answer = app.call(&app.admin.token, "AdminService/RevokeTokens", revoke);
    answer.await.invalid_field("page_token");
    let same = json!({ "pageToken": next, "filter": filter });
    let rest = app.call(&app.admin.token, LIST, same).await.ok();
    assert_eq!(rest["tokens"].as_array().unwrap().len(), 1);
}
