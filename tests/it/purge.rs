//! The purge: what it removes, what it leaves alone, and when it removes nothing.

use std::time::Duration;

use serde_json::json;

use crate::test_app::TestApp;

const DAY: Duration = Duration::from_hours(24);

/// A server that keeps ended tokens for a day and has purged just now, with a token that expires in a minute.
async fn start() -> (TestApp, String) {
    let app = TestApp::start_with(|settings| settings.app.retention = DAY).await;
    assert_eq!(app.app.purge().await.unwrap(), 0);
    let expires = json!({ "expireTime": app.clock.after(Duration::from_mins(1)) });
    let id = app.child(&app.admin.token, expires).await.id;
    (app, id)
}

async fn is_there(app: &TestApp, id: &str) -> bool {
    let get = json!({ "tokenId": id });
    let got = app.call(&app.admin.token, "TokenService/GetToken", get);
    got.await.result.is_ok()
}

#[tokio::test]
async fn clock_jump_purges_nothing_until_an_operator_confirms_the_time() {
    let (app, id) = start().await;
    app.clock.advance(8 * DAY);
    assert_eq!(app.app.purge().await.unwrap(), 0);
    // Neither audit rows with the new time nor a restart confirm the clock.
    app.child(&app.admin.token, json!({})).await;
    let app = app.restart().await;
    assert_eq!(app.app.purge().await.unwrap(), 0);
    assert!(is_there(&app, &id).await);

    app.app.accept_clock();
    assert_eq!(app.app.purge().await.unwrap(), 1);
    assert!(!is_there(&app, &id).await);
    // The confirmation was for that jump only.
    let expires = json!({ "expireTime": app.clock.after(Duration::from_mins(1)) });
    app.child(&app.admin.token, expires).await;
    app.clock.advance(8 * DAY);
    assert_eq!(app.app.purge().await.unwrap(), 0);
}

#[tokio::test]
async fn ordinary_passage_of_time_needs_no_confirmation() {
    let (app, id) = start().await;
    app.clock.advance(6 * DAY);
    assert_eq!(app.app.purge().await.unwrap(), 1);
    assert!(!is_there(&app, &id).await);
    app.clock.advance(6 * DAY);
    let expires = json!({ "expireTime": app.clock.after(Duration::from_mins(1)) });
    let id = app.child(&app.admin.token, expires).await.id;
    assert_eq!(app.app.purge().await.unwrap(), 0);
    app.clock.advance(6 * DAY);
    assert_eq!(app.app.purge().await.unwrap(), 1);
    assert!(!is_there(&app, &id).await);
}

#[tokio::test]
async fn newest_thousand_ended_tokens_and_all_live_ones_of_a_user_are_kept() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let now = app.app.now().as_micros();
    // 700 deleted and 800 expired tokens, alternating by the time of their end, and a few of another user.
    let plant = |user: &str, kind: u8, count: u32, columns: &str| {
        let sql = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {count}) \
             INSERT INTO tokens (id, user_id, hash, note, create_time, scopes, allowed_cidrs, disabled, \
             family_id, expire_time, delete_time) SELECT printf('0{kind}%020d', n), '{user}', zeroblob(32), \
             '', 1, '', '', 0, printf('0{kind}%020d', n), {columns} FROM n"
        );
        app.sql().execute_batch(&sql).unwrap();
    };
    plant(&alice.id, 1, 700, &format!("NULL, {now} - 2 * n"));
    plant(&alice.id, 2, 800, &format!("{now} - 2 * n - 1, NULL"));
    plant(&bob.id, 3, 900, &format!("NULL, {now} - n"));

    let before = app.audit_len();
    assert_eq!(app.app.purge().await.unwrap(), 500);
    assert_eq!(app.audit_len(), before + 1, "one row per chunk");
    let count = |condition: String| -> (i64, i64) {
        let sql = format!(
            "SELECT count(*), coalesce(min(coalesce(delete_time, expire_time)), 0) FROM tokens \
             WHERE {condition}"
        );
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        app.sql().query_one(&sql, [], row).unwrap()
    };
    let ended = "(delete_time IS NOT NULL OR expire_time IS NOT NULL)";
    let of_alice = count(format!("user_id = '{}' AND {ended}", alice.id));
    assert_eq!(of_alice, (1_000, now - 1_001));
    assert_eq!(count(format!("user_id = '{}' AND {ended}", bob.id)).0, 900);
    assert_eq!(app.app.purge().await.unwrap(), 0);
    assert!(app.accepts(&alice.token).await);
    app.child(&alice.token, json!({})).await;
}

#[tokio::test]
async fn purge_keeps_the_credential_cache() {
    let (app, id) = start().await;
    let alice = app.person("alice").await;
    app.clock.advance(2 * DAY);
    assert!(app.accepts(&alice.token).await);
    let (_, read) = app.app.credential_lookups();
    assert_eq!(app.app.purge().await.unwrap(), 1);
    assert!(app.accepts(&alice.token).await);
    assert_eq!(app.app.credential_lookups().1, read, "it was in the cache");
    assert!(!is_there(&app, &id).await);
    // The control: deleting a user invalidates the cache.
    let bob = app.person("bob").await;
    app.child(&bob.token, json!({})).await;
    let delete = json!({ "id": bob.id });
    let deleted = app.call(&app.admin.token, "UserService/DeleteUser", delete);
    deleted.await.ok();
    let (_, read) = app.app.credential_lookups();
    assert!(app.accepts(&alice.token).await);
    assert_eq!(app.app.credential_lookups().1, read + 1);
}
