//! `RevokeTokens`: revokes many tokens at once.

mod concurrent;
mod crash;

use std::time::Duration;

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::{Value, json};

use crate::test_app::{NewToken, START, TestApp, id_of, rfc3339};

const REVOKE: &str = "AdminService/RevokeTokens";

async fn revoke(app: &TestApp, request: Value) -> Value {
    app.call(&app.admin.token, REVOKE, request).await.ok()
}

fn outcomes(answer: &Value) -> Vec<&str> {
    let outcomes = answer["outcomes"].as_array().into_iter().flatten();
    let words = outcomes.map(|outcome| outcome.as_str().unwrap());
    words
        .map(|word| word.strip_prefix("REVOCATION_OUTCOME_").unwrap())
        .collect()
}

#[tokio::test]
async fn nothing_is_selected_by_accident() {
    let app = TestApp::start().await;
    for (request, field) in [
        (json!({}), "filter"),
        (json!({ "dryRun": true }), "filter"),
        (json!({ "filter": {} }), "filter"),
        (
            json!({ "filter": { "state": "TOKEN_STATE_LIVE" } }),
            "filter",
        ),
        (
            json!({ "filter": { "state": "TOKEN_STATE_EXPIRED", "neverExpires": true } }),
            "filter.state",
        ),
        (json!({ "filter": { "state": 9 } }), "filter.state"),
        (json!({ "filter": { "familyId": "x" } }), "filter.family_id"),
        (json!({ "filter": { "parentId": "x" } }), "filter.parent_id"),
        (json!({ "filter": { "scope": "No" } }), "filter.scope"),
        (
            json!({ "filter": { "neverExpires": true }, "pageToken": "x" }),
            "page_token",
        ),
        (json!({ "tokens": vec!["x"; 1_001] }), "tokens"),
    ] {
        let answer = app.call(&app.admin.token, REVOKE, request).await;
        answer.invalid_field(field);
    }
    for unknown in ["x", "0000000000000000000000"] {
        let request = json!({ "filter": { "userId": unknown } });
        let answer = app.call(&app.admin.token, REVOKE, request).await;
        answer.refused("not_found", "USER_NOT_FOUND");
    }
    assert!(app.accepts(&app.admin.token).await);
}

#[tokio::test]
async fn dry_run_reports_what_the_run_revokes_and_changes_nothing() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&alice, "robot").await;
    // One microsecond later, so that its ID is greater than its parent's.
    app.clock.advance(Duration::from_millis(1));
    let for_robot = json!({ "userId": robot.id });
    let robots = app.child(&alice.token, for_robot).await;
    let child = app.child(&alice.token, json!({})).await;
    let filter = json!({ "userId": alice.id });
    let before = crate::mutations::contents(&app);
    let plan = revoke(&app, json!({ "filter": filter, "dryRun": true })).await;
    assert_eq!(plan["tokenCount"], 2, "{plan}");
    assert_eq!(
        plan["childCount"], 1,
        "a selected child is not counted as a dependent: {plan}"
    );
    for (named, children) in [
        (vec![&alice.token], 2),
        (vec![&alice.token, &robots.text], 1),
    ] {
        let plan = revoke(&app, json!({ "tokens": named, "dryRun": true })).await;
        assert_eq!(plan["childCount"], children, "{plan}");
    }
    assert_eq!(plan["firstTokens"][0], child.metadata);
    assert_eq!(plan["firstTokens"].as_array().unwrap().len(), 2);
    assert_eq!(plan.get("nextPageToken"), None);
    assert_eq!(crate::mutations::contents(&app), before);
    assert!(app.accepts(&child.text).await);

    let done = revoke(&app, json!({ "filter": filter })).await;
    assert_eq!(
        (&done["tokenCount"], &done["childCount"]),
        (&json!(2), &json!(1)),
        "{done}"
    );
    for dead in [&alice.token, &child.text, &robots.text] {
        assert!(!app.accepts(dead).await);
    }
    for alive in [&bob.token, &robot.token, &app.admin.token] {
        assert!(app.accepts(alive).await);
    }
    let again = revoke(&app, json!({ "filter": filter })).await;
    assert_eq!(again.get("tokenCount"), None, "{again}");
}

#[tokio::test]
async fn every_condition_that_is_set_must_hold() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    app.clock.advance(Duration::from_secs(1));
    let middle = app.clock.after(Duration::ZERO);
    let scoped = app
        .child(&alice.token, json!({ "scopes": ["deploy", "read"] }))
        .await;
    let expiring = json!({ "expireTime": app.clock.after(Duration::from_hours(1)) });
    let expiring = app.sign_in(&alice, expiring).await;
    app.clock.advance(Duration::from_secs(1));
    let late = app.sign_in(&alice, json!({})).await;
    let set = |what: &str, token: &NewToken| {
        let sql = format!("UPDATE tokens SET {what} WHERE id = '{}'", token.id);
        assert_eq!(app.sql().execute(&sql, []).unwrap(), 1);
    };
    set(&format!("family_id = '{}'", scoped.id), &late);
    set("disabled = 1", &late);
    let used = START.plus(Duration::from_secs(5)).as_micros();
    set(&format!("last_use_time = {used}"), &expiring);
    app.clock.advance(Duration::from_secs(10));
    let between = rfc3339(START.plus(Duration::from_secs(4)));
    let alices = json!({ "userId": alice.id });
    let with = |more: Value| {
        let mut filter = alices.clone();
        filter
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        filter
    };
    let first = id_of(&alice.token);
    for (filter, expected) in [
        (
            alices.clone(),
            vec![first, &scoped.id, &expiring.id, &late.id],
        ),
        (json!({ "familyId": scoped.id }), vec![&scoped.id, &late.id]),
        (json!({ "parentId": first }), vec![&scoped.id]),
        (
            with(json!({ "createTimeFrom": middle })),
            vec![&scoped.id, &expiring.id, &late.id],
        ),
        (with(json!({ "createTimeBefore": middle })), vec![first]),
        (
            with(json!({ "unusedSince": between })),
            vec![first, &scoped.id, &late.id],
        ),
        // A recent use that is not yet stored counts, too: the one that created the second token.
        (with(json!({ "unusedSince": middle })), vec![]),
        (json!({ "scope": "deploy" }), vec![&scoped.id]),
        (
            json!({ "expireTimeBefore": "2030-01-01T00:00:00Z" }),
            vec![&expiring.id],
        ),
        (
            with(json!({ "neverExpires": true })),
            vec![first, &scoped.id, &late.id],
        ),
        (
            with(json!({ "state": "TOKEN_STATE_DISABLED" })),
            vec![&late.id],
        ),
        (with(json!({ "parentId": first, "scope": "none" })), vec![]),
    ] {
        let plan = revoke(&app, json!({ "filter": filter, "dryRun": true })).await;
        let told = plan["firstTokens"].as_array().cloned().unwrap_or_default();
        let mut told: Vec<_> = told
            .iter()
            .map(|token| token["id"].as_str().unwrap())
            .collect();
        let mut expected = expected;
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "{filter}");
    }
    let done = revoke(&app, json!({ "filter": { "familyId": scoped.id } })).await;
    assert_eq!(done["tokenCount"], 2);
    assert!(!app.accepts(&scoped.text).await && !app.accepts(&late.text).await);
    assert!(app.accepts(&alice.token).await && app.accepts(&expiring.text).await);
}

#[tokio::test]
async fn pasted_token_is_matched_by_its_secret_not_by_its_id_alone() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let [leaked, by_id, safe, dead] = [(); 4].map(|()| json!({ "note": "x" }));
    let make = async |fields| app.sign_in(&alice, fields).await;
    let (leaked, by_id) = (make(leaked).await, make(by_id).await);
    let (safe, dead) = (make(safe).await, make(dead).await);
    revoke(&app, json!({ "tokens": [dead.text] })).await;
    let id = TokenId::parse(&safe.id).unwrap();
    let forged = TokenText::generate(&TokenPrefix::default(), id);
    let unknown = TokenText::generate(&TokenPrefix::default(), TokenId::generate(START));
    let mistyped = &safe.text[..80];
    let tokens = json!([
        leaked.text,
        by_id.id,
        leaked.id,
        forged.expose(),
        unknown.expose(),
        unknown.id().to_string(),
        mistyped,
        "",
        "nonsense",
        dead.text,
        dead.id,
        app.admin.token,
    ]);
    let expected = [
        "REVOKED",
        "REVOKED",
        "REVOKED",
        "OTHER_SECRET",
        "NOT_OURS",
        "NOT_OURS",
        "MALFORMED",
        "MALFORMED",
        "MALFORMED",
        "NOT_LIVE",
        "NOT_LIVE",
        "SPARED",
    ];
    for dry_run in [true, false] {
        let answer = revoke(&app, json!({ "tokens": tokens, "dryRun": dry_run })).await;
        assert_eq!(outcomes(&answer), expected);
        assert_eq!(answer["tokenCount"], 2, "{answer}");
        assert_eq!(answer["sparedOwn"], true);
        assert_eq!(app.accepts(&leaked.text).await, dry_run);
    }
    assert!(!app.accepts(&by_id.text).await);
    assert!(app.accepts(&safe.text).await);
    let elsewhere = json!({ "tokens": [safe.text], "filter": { "scope": "deploy" } });
    assert_eq!(outcomes(&revoke(&app, elsewhere).await), ["NOT_SELECTED"]);
    assert!(app.accepts(&safe.text).await);
}

#[tokio::test]
async fn caller_of_a_bulk_revocation_is_not_locked_out_half_way() {
    let app = TestApp::start().await;
    let parent = app.sign_in(&app.admin, json!({})).await;
    let own = app.child(&parent.text, json!({})).await;
    let other = app.sign_in(&app.admin, json!({})).await;
    let filter = json!({ "userId": app.admin.id });
    let request = json!({ "filter": filter });
    let done = app.call(&own.text, REVOKE, request).await.ok();
    assert_eq!(done["tokenCount"], 2, "{done}");
    assert_eq!(done["sparedOwn"], true);
    assert!(app.accepts(&own.text).await && app.accepts(&parent.text).await);
    assert!(!app.accepts(&other.text).await && !app.accepts(&app.admin.token).await);
    let elsewhere = json!({ "filter": { "scope": "deploy" } });
    let done = app.call(&own.text, REVOKE, elsewhere).await.ok();
    assert_eq!(done.get("sparedOwn"), None);
}

#[tokio::test]
async fn every_revoked_token_names_who_revoked_it() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    app.clock.advance(Duration::from_millis(1));
    let child = app
        .child(&alice.token, json!({ "scopes": ["deploy"] }))
        .await;
    let robot = app.machine(&alice, "robot").await;
    let robots = app.child(&alice.token, json!({ "userId": robot.id })).await;
    let before = app.audit_len();
    let request = json!({ "filter": { "userId": alice.id } });
    let answer = app.call(&app.admin.token, REVOKE, request).await;
    let request_id = answer.request_id();
    answer.ok();
    let sql = app.sql();
    let mut rows = sql
        .prepare(
            "SELECT action, target, count FROM audit WHERE sequence > ?1 AND actor = ?2 \
             AND request_id = ?3 ORDER BY sequence",
        )
        .unwrap();
    let rows = rows.query_map((before, &app.admin.id, &request_id), |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    let rows: Vec<(String, String, i64)> = rows.unwrap().map(Result::unwrap).collect();
    let row = |target: &str, count| ("token.revoke".to_owned(), target.to_owned(), count);
    let parent = id_of(&alice.token);
    assert_eq!(
        rows,
        [
            row(&child.id, 1),
            // Including the machine's token, which is not Alice's.
            row(parent, 2),
        ]
    );
    assert!(!app.accepts(&robots.text).await);
}
