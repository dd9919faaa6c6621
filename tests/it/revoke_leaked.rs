//! `RevokeLeakedTokens`: revokes leaked tokens by their hash, without sending them again.

use std::time::Duration;

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::{Value, json};

use crate::{
    mutations::contents,
    reuse::rotate,
    test_app::{START, TestApp, leaked},
};

const REVOKE: &str = "AdminService/RevokeLeakedTokens";

const HOUR: Duration = Duration::from_hours(1);

async fn revoke(app: &TestApp, tokens: &[Value], dry_run: bool) -> Value {
    let message = json!({ "tokens": tokens, "dryRun": dry_run });
    app.call(&app.admin.token, REVOKE, message).await.ok()
}

fn statuses(answer: &Value) -> Vec<&str> {
    let statuses = answer["statuses"].as_array().unwrap().iter();
    let words = statuses.map(|status| status.as_str().unwrap());
    words
        .map(|word| word.strip_prefix("LEAK_STATUS_").unwrap())
        .collect()
}

fn revoked(answer: &Value) -> Vec<&str> {
    let ids = answer["revokedTokenIds"].as_array().into_iter().flatten();
    let mut ids: Vec<_> = ids.map(|id| id.as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

async fn delete(app: &TestApp, id: &str) {
    let message = json!({ "tokenId": id });
    let deleted = app.call(&app.admin.token, "TokenService/DeleteToken", message);
    deleted.await.ok();
}

fn made_up(id: &str) -> Value {
    let id = TokenId::parse(id).unwrap();
    leaked(TokenText::generate(&TokenPrefix::default(), id).expose())
}

#[tokio::test]
async fn each_finding_is_reported_and_a_dry_run_changes_nothing() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let soon = json!({ "expireTime": app.clock.after(HOUR) });
    let expired = app.sign_in(&alice, soon).await;
    let [live, disabled, deleted, other] = [
        app.sign_in(&alice, json!({})).await,
        app.sign_in(&alice, json!({})).await,
        app.sign_in(&alice, json!({})).await,
        app.sign_in(&alice, json!({})).await,
    ];
    let disable = json!({ "tokenId": disabled.id, "disabled": true });
    let disable = app.call(&alice.token, "TokenService/UpdateToken", disable);
    disable.await.ok();
    delete(&app, &deleted.id).await;
    app.clock.advance(HOUR);
    let unknown = TokenId::generate(START).to_string();
    let found = [
        live.as_leaked(),
        disabled.as_leaked(),
        deleted.as_leaked(),
        expired.as_leaked(),
        made_up(&unknown),
        made_up(&other.id),
        live.as_leaked(),
    ];
    let expected = [
        "LIVE",
        "LIVE",
        "NOT_LIVE",
        "NOT_LIVE",
        "UNKNOWN",
        "OTHER_SECRET",
        "LIVE",
    ];
    let (before, rows) = (contents(&app), app.audit_len());
    let told = revoke(&app, &found, true).await;
    assert_eq!(statuses(&told), expected);
    assert_eq!(revoked(&told), [""; 0]);
    assert_eq!((contents(&app), app.audit_len()), (before, rows));

    // The control: the same request without a dry run.
    let done = revoke(&app, &found, false).await;
    assert_eq!(statuses(&done), expected);
    let mut ended = [&*live.id, &disabled.id];
    ended.sort_unstable();
    assert_eq!(revoked(&done), ended);
    assert_eq!(app.audit_len(), rows + 2, "one row per token");
    assert!(!app.accepts(&live.text).await);
    assert!(app.accepts(&other.text).await && app.accepts(&alice.token).await);

    let again = revoke(&app, &found, false).await;
    let after = [
        "NOT_LIVE",
        "NOT_LIVE",
        "NOT_LIVE",
        "NOT_LIVE",
        "UNKNOWN",
        "OTHER_SECRET",
        "NOT_LIVE",
    ];
    assert_eq!(statuses(&again), after);
    assert_eq!(revoked(&again), [""; 0]);
}

#[tokio::test]
async fn live_leaked_tokens_end_with_their_families_and_children() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let first = app.sign_in(&alice, json!({})).await;
    let of_first = app.child(&first.text, json!({})).await;
    let second = rotate(&app, &alice, &first.id, "60s").await;
    let third = rotate(&app, &alice, &second.id, "60s").await;
    let of_third = app.child(&third.text, json!({})).await;
    let bystander = app.sign_in(&alice, json!({})).await;
    let done = revoke(&app, &[second.as_leaked()], false).await;
    assert_eq!(statuses(&done), ["LIVE"]);
    let all = [&first, &second, &third, &of_first, &of_third];
    let mut ids = all.map(|token| &*token.id);
    ids.sort_unstable();
    assert_eq!(revoked(&done), ids);
    for token in all {
        assert!(!app.accepts(&token.text).await, "{token:?}");
    }
    assert!(app.accepts(&bystander.text).await && app.accepts(&alice.token).await);
}

#[tokio::test]
async fn family_of_an_ended_leaked_token_survives() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let first = app.sign_in(&alice, json!({})).await;
    let second = rotate(&app, &alice, &first.id, "0s").await;
    let done = revoke(&app, &[first.as_leaked()], false).await;
    assert_eq!(statuses(&done), ["NOT_LIVE"]);
    assert_eq!(revoked(&done), [""; 0]);
    assert!(app.accepts(&second.text).await);
}

#[tokio::test]
async fn callers_own_leaked_token_ends_with_the_others() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let found = [leaked(&app.admin.token), token.as_leaked()];
    let done = revoke(&app, &found, false).await;
    assert_eq!(statuses(&done), ["LIVE", "LIVE"]);
    assert!(!app.accepts(&token.text).await && !app.accepts(&app.admin.token).await);
}

#[tokio::test]
async fn malformed_finding_is_refused_by_field_without_effect() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let good = token.as_leaked();
    let with = |field: &str, value: &str| {
        let mut bad = good.clone();
        bad[field] = value.into();
        json!({ "tokens": [good, bad] })
    };
    let hash = "tokens.plaintext_sha256";
    let id = "tokens.token_id";
    let (before, rows) = (contents(&app), app.audit_len());
    for (request, field) in [
        (json!({}), "tokens"),
        (json!({ "tokens": [] }), "tokens"),
        (json!({ "tokens": vec![&good; 501] }), "tokens"),
        (
            json!({ "tokens": vec![&good; 501], "dryRun": true }),
            "tokens",
        ),
        (json!({ "tokens": [{}] }), hash),
        (with("plaintextSha256", ""), hash),
        // 31 and 33 bytes.
        (with("plaintextSha256", &"A".repeat(42)), hash),
        (with("plaintextSha256", &"A".repeat(44)), hash),
        (with("tokenId", ""), id),
        (with("tokenId", "x"), id),
        (with("tokenId", &token.text), id),
    ] {
        let answer = app.call(&app.admin.token, REVOKE, request.clone()).await;
        let failure = answer.invalid_field(field);
        assert!(!failure.message.contains(&token.text), "{request}");
    }
    assert_eq!((contents(&app), app.audit_len()), (before, rows));
    let most = vec![made_up(&TokenId::generate(START).to_string()); 499];
    let done = revoke(&app, &[most, vec![good]].concat(), false).await;
    assert_eq!(statuses(&done)[498..], ["UNKNOWN", "LIVE"]);
    assert_eq!(revoked(&done), [&*token.id]);
}

#[tokio::test]
async fn callers_own_family_is_revoked_last() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let parent = app.sign_in(&alice, json!({})).await;
    let last = app.sign_in(&alice, json!({})).await;
    // More than fit one transaction.
    let plant = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
        INSERT INTO tokens (id, user_id, hash, note, create_time, scopes, allowed_cidrs, disabled, parent_id, family_id)
        SELECT substr(id, 1, 18) || printf('%04d', i), user_id, hash, '', create_time, '', '', 0, id,
            substr(id, 1, 18) || printf('%04d', i) FROM n, tokens WHERE id = ?1";
    app.sql().execute(plant, [&parent.id]).unwrap();
    let found = [&app.admin.token, &parent.text, &last.text].map(|text| leaked(text));
    let answer = revoke(&app, &found, false).await;
    assert_eq!(statuses(&answer), ["LIVE"; 3]);
    assert_eq!(revoked(&answer).len(), 1_103);
    for text in [&app.admin.token, &parent.text, &last.text] {
        assert!(!app.accepts(text).await);
    }
}
