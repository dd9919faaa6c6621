//! A store that cannot be written, is busy, or is damaged: callers get an error and nothing happens, credential lookups
//! never wait for lists, and `CheckData` finds the damage.

use std::{sync::mpsc, time::Duration};

use hallpass::store::{Error, Tx, meta};
use http::Method;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time};

use crate::{
    client::{Call, Failure, Wire},
    mutations,
    test_app::TestApp,
};

const PLANT: &str = "CREATE TRIGGER planted BEFORE INSERT ON audit \
                     BEGIN SELECT RAISE(ABORT, 'planted'); END";
const PULL: &str = "DROP TRIGGER planted";

const CHECK: &str = "AdminService/CheckData";

fn told_nothing_inside(failure: &Failure) {
    let known = ["internal", "unavailable"].contains(&&*failure.code);
    assert!(known, "{failure:?}");
    assert!(!failure.message.contains("planted"), "{failure:?}");
}

/// The control is the same mutation without the trigger: it succeeds and is recorded.
#[tokio::test]
async fn mutation_whose_audit_row_cannot_be_written_does_not_happen() {
    let app = TestApp::start().await;
    for mutation in mutations::all(&app).await {
        let call = || app.call(&mutation.by, mutation.procedure, mutation.message.clone());
        let before = mutations::contents(&app);
        app.sql().execute_batch(PLANT).unwrap();
        let failure = call().await.result.unwrap_err();
        told_nothing_inside(&failure);
        assert_eq!(mutations::contents(&app), before, "{}", mutation.procedure);
        app.sql().execute_batch(PULL).unwrap();
        call().await.ok();
        assert_ne!(mutations::contents(&app), before, "{}", mutation.procedure);
    }
}

#[tokio::test]
async fn purge_whose_audit_row_cannot_be_written_does_not_happen() {
    let app = TestApp::start().await;
    let expires = json!({ "expireTime": app.clock.after(Duration::from_secs(1)) });
    app.child(&app.admin.token, expires).await;
    app.clock.advance(Duration::from_hours(100 * 24));
    app.app.accept_clock();
    let before = mutations::contents(&app);
    app.sql().execute_batch(PLANT).unwrap();
    app.app.purge().await.unwrap_err();
    assert_eq!(mutations::contents(&app), before);
    app.sql().execute_batch(PULL).unwrap();
    assert_eq!(app.app.purge().await.unwrap(), 1);
}

#[tokio::test]
async fn read_that_cannot_be_recorded_is_refused() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let get = || {
        let get = json!({ "id": alice.id });
        app.call(&app.admin.token, "UserService/GetUser", get)
    };
    app.sql().execute_batch(PLANT).unwrap();
    let failure = get().await.result.unwrap_err();
    told_nothing_inside(&failure);
    app.sql().execute_batch(PULL).unwrap();
    get().await.ok();
}

#[tokio::test]
async fn locked_database_is_unavailable_without_effect() {
    let timeout = Duration::from_millis(50);
    let app = TestApp::start_with(|settings| settings.busy_timeout = timeout).await;
    let before = mutations::contents(&app);
    let create = || app.call(&app.admin.token, "TokenService/CreateToken", json!({}));
    let lock = app.sql();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = create().await;
    assert_eq!(answer.status, 503);
    answer.refused("unavailable", "STORE_UNAVAILABLE");
    // Reads continue.
    assert!(app.accepts(&app.admin.token).await);
    let list = app.call(&app.admin.token, "TokenService/ListTokens", json!({}));
    assert_eq!(list.await.ok()["tokens"].as_array().unwrap().len(), 1);
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(mutations::contents(&app), before);
    create().await.ok();
}

#[tokio::test]
async fn database_that_cannot_be_read_is_unavailable_never_empty_or_unauthenticated() {
    let app = TestApp::start().await;
    let damage = "ALTER TABLE tokens RENAME TO hidden";
    app.sql().execute_batch(damage).unwrap();
    for procedure in ["AuthnService/GetCurrentUser", "TokenService/ListTokens"] {
        let answer = app.call(&app.admin.token, procedure, json!({})).await;
        told_nothing_inside(&answer.result.unwrap_err());
    }
    let repair = "ALTER TABLE hidden RENAME TO tokens";
    app.sql().execute_batch(repair).unwrap();
    assert!(app.accepts(&app.admin.token).await);
}

#[tokio::test]
async fn credentials_are_looked_up_while_every_reader_is_busy() {
    let app = TestApp::start_with(|settings| settings.readers = 1).await;
    let alice = app.person("alice").await;
    // Two tokens that are not in the cache.
    let first = app.child(&alice.token, json!({})).await;
    let second = app.child(&alice.token, json!({})).await;

    let (gate, opened) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let db = app.db.clone();
    let read = tokio::spawn(async move {
        let work = move |tx: &Tx<'_>| {
            begun.send(()).unwrap();
            opened.recv().ok();
            meta::page_key(tx)
        };
        db.read::<_, Error>(work).await.unwrap();
    });
    begins.await.unwrap();

    assert!(app.accepts(&first.text).await, "a bearer token of an RPC");
    let bearer = format!("Bearer {}", second.text);
    let headers = [("authorization", &*bearer)];
    let passed = app.client.ask(Method::GET, "/forward-auth", &headers).await;
    assert_eq!(passed.head.status, 200);
    let sign_in = json!({ "username": alice.name, "password": alice.password });
    app.call("", "TokenService/CreateToken", sign_in).await.ok();

    // The control: a list waits for a reader thread.
    let list = app.call(&first.text, "TokenService/ListTokens", json!({}));
    let mut list = Box::pin(list);
    time::timeout(Duration::from_millis(200), &mut list)
        .await
        .unwrap_err();
    drop(gate);
    read.await.unwrap();
    list.await.ok();
}

async fn check(app: &TestApp, wire: Wire) -> Value {
    let call = Call::new(CHECK, json!({})).bearer(&app.admin.token);
    app.client.call(wire, call).await.ok()
}

#[tokio::test]
async fn sound_database_has_no_findings_and_every_check_is_recorded() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    app.machine(&alice, "robot").await;
    for wire in Wire::POST {
        let before = app.audit_len();
        assert_eq!(check(&app, wire).await, json!([]), "{wire:?}");
        let last =
            "SELECT sequence, actor, action, outcome FROM audit ORDER BY sequence DESC LIMIT 1";
        let last = app.sql().query_one(last, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let last: (i64, String, String, String) = last.unwrap();
        let (action, ok) = ("data.check".to_owned(), "ok".to_owned());
        assert_eq!(last, (before + 1, app.admin.id.clone(), action, ok));
    }
}

#[tokio::test]
async fn each_kind_of_damage_has_its_own_message() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let sql = app.sql();
    let harm = "PRAGMA foreign_keys = OFF; DROP INDEX tokens_children; CREATE TABLE extra (a);";
    sql.execute_batch(harm).unwrap();
    let orphan = "UPDATE tokens SET user_id = 'nobody' WHERE id = ?1 RETURNING rowid";
    let row: i64 = sql
        .query_one(orphan, [&token.id], |row| row.get(0))
        .unwrap();
    let findings = [
        "the schema lacks index tokens_children".to_owned(),
        "the schema has table extra too many".to_owned(),
        format!("row {row} of tokens refers to a missing row of users"),
    ];
    let expected = findings.map(|finding| json!({ "finding": finding }));
    for wire in Wire::POST {
        assert_eq!(check(&app, wire).await, json!(expected), "{wire:?}");
    }
}
