//! How many live tokens a user may have, and how many live children a token.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::TestApp;

const CREATE: &str = "TokenService/CreateToken";

async fn with_at_most(max: u32) -> TestApp {
    TestApp::start_with(|settings| settings.app.max_tokens_per_user = max).await
}

#[tokio::test]
async fn quota_counts_live_tokens_disabled_ones_included() {
    let app = with_at_most(3).await;
    let alice = app.person("alice").await;
    let expires = app.clock.after(Duration::from_mins(1));
    let second = app.sign_in(&alice, json!({ "expireTime": expires })).await;
    let third = app.sign_in(&alice, json!({})).await;
    let create = async || {
        let message = json!({ "username": alice.name, "password": alice.password });
        app.call("", CREATE, message).await
    };
    let full = create().await;
    let failure = full.refused("resource_exhausted", "TOO_MANY_TOKENS");
    assert!(failure.message.contains('3'), "{failure:?}");
    assert_eq!(failure.detail("RetryInfo"), None, "waiting does not help");

    let disable = "UPDATE tokens SET disabled = 1 WHERE id = ?1";
    assert_eq!(app.sql().execute(disable, [&second.id]).unwrap(), 1);
    create()
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");

    let delete = json!({ "tokenId": third.id });
    let deleted = app.call(&alice.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    create().await.ok();
    create()
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");
    app.clock.advance(Duration::from_mins(1));
    create().await.ok();
}

#[tokio::test]
async fn quota_of_children_spans_all_machines() {
    let app = with_at_most(3).await;
    let alice = app.person("alice").await;
    let mut machines = Vec::new();
    for name in ["robot-a", "robot-b"] {
        machines.push(app.machine(&alice, name).await.id);
    }
    let create = async |machine: &str| {
        let message = json!({ "userId": machine });
        app.call(&alice.token, CREATE, message).await
    };
    create(&machines[0]).await.ok();
    create(&machines[0]).await.ok();
    let first: Value = create(&machines[1]).await.ok();
    create(&machines[1])
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");
    let delete = json!({ "tokenId": first["metadata"]["id"] });
    let deleted = app.call(&alice.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    create(&machines[1]).await.ok();
}
