//! More tokens than fit one call or one transaction, while others write.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hallpass::{
    app::tokens::RevokeTokens,
    domain::{
        id::TokenId,
        token_text::{TokenPrefix, TokenText},
    },
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::test_app::{self, START, TestApp, verify_audit};

use super::REVOKE;

/// Inserts `count` tokens of a user into the database and returns their plaintexts.
pub(super) fn plant(sql: &mut Connection, user: &str, count: u64) -> Vec<String> {
    let tx = sql.transaction().unwrap();
    let add = "INSERT INTO tokens (id, user_id, hash, note, create_time, expire_time, scopes, \
               allowed_cidrs, disabled, parent_id, family_id, delete_time) \
               VALUES (?1, ?2, ?3, 'planted', ?4, NULL, 'planted', '', 0, NULL, ?1, NULL)";
    let mut texts = Vec::new();
    for number in 0..count {
        let time = START.plus(Duration::from_millis(number));
        let text = TokenText::generate(&TokenPrefix::default(), TokenId::generate(time));
        let hash = *text.hash().as_bytes();
        let id = text.id().to_string();
        tx.execute(add, (id, user, hash, time.as_micros())).unwrap();
        texts.push(text.expose().to_owned());
    }
    tx.commit().unwrap();
    texts
}

/// How many are deleted (purged ones included), and how many audit rows say who did it.
pub(super) fn deleted(sql: &Connection) -> (u64, u64) {
    let count = |what: &str| {
        let count = sql.query_one(what, [], |row| row.get::<_, i64>(0));
        count.unwrap().unsigned_abs()
    };
    (
        count(
            "SELECT (SELECT count(*) FROM tokens WHERE note = 'planted' AND delete_time IS NOT NULL) \
             + (SELECT coalesce(sum(count), 0) FROM audit WHERE action = 'token.purge')",
        ),
        count("SELECT count(*) FROM audit WHERE action = 'token.revoke'"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_tokens_are_revoked_in_several_calls_and_no_writer_fails_meanwhile() {
    const MANY: u64 = 20_000;
    let app = Arc::new(TestApp::start().await);
    let alice = app.person("alice").await;
    let texts = plant(&mut app.sql(), &alice.id, MANY);
    assert!(app.accepts(&texts[0]).await && app.accepts(texts.last().unwrap()).await);
    let ended = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (app, ended) = (Arc::clone(&app), Arc::clone(&ended));
        async move {
            let mut times = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let made = app.child(&app.admin.token, json!({})).await;
                let delete = json!({ "tokenId": made.id });
                let delete = app.call(&app.admin.token, "TokenService/DeleteToken", delete);
                delete.await.ok();
                times.push(begun.elapsed() / 2);
            }
            times
        }
    });
    let begun = Instant::now();
    let mut request = json!({ "filter": { "scope": "planted" } });
    let (mut calls, mut told) = (0, 0);
    loop {
        let answer = app
            .call(&app.admin.token, REVOKE, request.clone())
            .await
            .ok();
        calls += 1;
        told += answer["tokenCount"].as_u64().unwrap_or_default();
        // Whatever a reply says was revoked is revoked.
        assert_eq!(deleted(&app.sql()), (told, told));
        match answer.get("nextPageToken") {
            Some(next) => request["pageToken"] = next.clone(),
            None => break,
        }
    }
    let took = begun.elapsed();
    ended.store(true, Ordering::SeqCst);
    let mut times = writer.await.unwrap();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    crate::durability::report(&format!(
        "{MANY} tokens revoked in {calls} calls and {took:?}; {} writes meanwhile, p99 {p99:?}",
        2 * times.len()
    ));
    assert_eq!(told, MANY);
    assert!(calls >= 2, "one call must not suffice");
    for text in texts.iter().step_by(997) {
        assert!(!app.accepts(text).await);
    }
    assert!(app.accepts(&alice.token).await);
    assert_eq!(verify_audit(&app.sql(), None).unwrap().breaks, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_revocation_stops_between_transactions_when_its_caller_disconnects() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    plant(&mut app.sql(), &alice.id, 5_000);
    let sql = app.sql();
    let run = tokio::spawn({
        let app = app.app.clone();
        async move {
            let mut request = RevokeTokens::default();
            request.filter.scope = "planted".to_owned();
            let caller = test_app::local(&app);
            app.revoke_tokens(&caller, request).await
        }
    });
    while deleted(&sql).0 == 0 {
        tokio::task::yield_now().await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    // This write queues behind a transaction that has begun.
    app.child(&app.admin.token, json!({})).await;
    let (tokens, rows) = deleted(&sql);
    assert!((1_000..5_000).contains(&tokens), "{tokens}");
    assert_eq!((tokens % 1_000, rows), (0, tokens));
    // Another call revokes the rest.
    let rest: Value = json!({ "filter": { "userId": alice.id, "scope": "planted" } });
    let answer = app.call(&app.admin.token, REVOKE, rest).await.ok();
    assert_eq!(answer["tokenCount"], 5_000 - tokens);
}
