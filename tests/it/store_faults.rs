//! A store that cannot be written: nothing happens, and the caller gets an error.

use std::time::Duration;

use serde_json::json;

use crate::{client::Failure, mutations, test_app::TestApp};

const PLANT: &str = "CREATE TRIGGER planted BEFORE INSERT ON audit \
                     BEGIN SELECT RAISE(ABORT, 'planted'); END";
const PULL: &str = "DROP TRIGGER planted";

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
