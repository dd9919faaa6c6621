//! Credential lookups never wait for a list, search or count.

use std::{sync::mpsc, time::Duration};

use hallpass::store::{Error, Tx, meta};
use http::Method;
use serde_json::json;
use tokio::{sync::oneshot, time};

use crate::test_app::TestApp;

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
