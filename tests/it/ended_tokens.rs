//! `ListTokens` with `include_ended`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    list_tokens::{LIST, all},
    test_app::TestApp,
};

/// A token of Alice's in each state: active, disabled, expired, revoked, rotated with and without a grace. The first is
/// the one that she signed in with, the last two are the successors.
struct EveryState {
    app: TestApp,
    by: String,
    user_id: String,
    live: Vec<String>,
    ended: Vec<(&'static str, String)>,
}

const GRACE: Duration = Duration::from_mins(1);

async fn in_every_state() -> EveryState {
    let app = TestApp::start_with(|settings| settings.app.retention = 24 * 60 * GRACE).await;
    let alice = app.person("alice").await;
    let by = alice.token.clone();
    let call = async |procedure: &str, request: Value| app.call(&by, procedure, request).await.ok();
    let mut ids = Vec::new();
    for expires in [None, None, Some(GRACE), None, None, None] {
        app.clock.advance(Duration::from_micros(1));
        let expire_time = expires.map(|length| app.clock.after(length));
        ids.push(
            app.child(&by, json!({ "expireTime": expire_time }))
                .await
                .id,
        );
    }
    let [active, disabled, expired, revoked, rotated, after_grace] = ids.try_into().unwrap();
    let request = json!({ "tokenId": disabled, "disabled": true });
    call("TokenService/UpdateToken", request).await;
    call("TokenService/DeleteToken", json!({ "tokenId": revoked })).await;
    let mut live = vec![by.split('_').nth(1).unwrap().to_owned(), active, disabled];
    for (id, grace) in [(&rotated, "0s"), (&after_grace, "60s")] {
        app.clock.advance(Duration::from_micros(1));
        let request = json!({ "tokenId": id, "gracePeriod": grace });
        let reply = call("TokenService/RotateToken", request).await;
        live.push(reply["metadata"]["id"].as_str().unwrap().to_owned());
    }
    app.clock.advance(GRACE);
    let ended = vec![
        ("expired", expired),
        ("revoked", revoked),
        ("rotated", rotated),
        ("rotated with a grace", after_grace),
    ];
    EveryState {
        app,
        user_id: alice.id,
        by,
        live,
        ended,
    }
}

impl EveryState {
    /// The IDs in order of creation: the successors are the newest.
    fn all(&self) -> Vec<String> {
        let (older, successors) = self.live.split_at(3);
        let ended = self.ended.iter().map(|(_, id)| id);
        let all = older.iter().chain(ended).chain(successors);
        all.cloned().collect()
    }
}

#[tokio::test]
async fn ended_tokens_are_listed_where_they_are_asked_for_and_only_there() {
    let states = in_every_state().await;
    let plain = all(&states.app, &states.by, json!({})).await.concat();
    assert_eq!(plain, states.live);
    for size in 1..=9 {
        for reverse in [false, true] {
            let request = json!({ "includeEnded": true, "pageSize": size, "reverse": reverse });
            let mut listed = all(&states.app, &states.by, request).await.concat();
            if reverse {
                listed.reverse();
            }
            assert_eq!(listed, states.all(), "pages of {size}");
        }
    }
    // Its owner is not the only one who may.
    let request = json!({ "includeEnded": true, "userId": states.user_id });
    let by_admin = all(&states.app, &states.app.admin.token, request.clone()).await;
    assert_eq!(by_admin.concat(), states.all());
    let bob = states.app.person("bob").await;
    let foreign = states.app.call(&bob.token, LIST, request).await;
    foreign.refused("permission_denied", "PERMISSION_DENIED");
    let own = all(&states.app, &bob.token, json!({ "includeEnded": true })).await;
    assert_eq!(own.concat().len(), 1);
}

#[tokio::test]
async fn list_tells_how_each_token_has_ended() {
    let states = in_every_state().await;
    let request = json!({ "includeEnded": true });
    let reply = states.app.call(&states.by, LIST, request).await.ok();
    let now = states.app.clock.after(Duration::ZERO);
    let told = |id: &String| {
        let mut tokens = reply["tokens"].as_array().unwrap().iter();
        let token = tokens.find(|token| token["id"] == **id).unwrap();
        let is_over = token["expireTime"].as_str().is_some_and(|end| *end <= *now);
        let has = |field: &str| token.get(field).is_some();
        (has("deleteTime"), is_over, has("successorId"))
    };
    for id in &states.live {
        assert_eq!(told(id), (false, false, false));
    }
    let ended = states.ended.iter().map(|(state, id)| (*state, told(id)));
    let expected = [
        ("expired", (false, true, false)),
        ("revoked", (true, false, false)),
        ("rotated", (true, false, true)),
        ("rotated with a grace", (false, true, true)),
    ];
    assert_eq!(ended.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn purged_tokens_are_not_listed() {
    let states = in_every_state().await;
    assert_eq!(states.app.app.purge().await.unwrap(), 0);
    states.app.clock.advance(24 * 60 * GRACE);
    assert_eq!(states.app.app.purge().await.unwrap(), 4);
    let request = json!({ "includeEnded": true });
    let left = all(&states.app, &states.by, request).await.concat();
    assert_eq!(left, states.live);
}

#[tokio::test]
async fn ended_tokens_are_not_listed_by_the_time_of_their_expiry() {
    let app = TestApp::start().await;
    let tomorrow = app.clock.after(Duration::from_hours(24));
    let request = json!({ "includeEnded": true, "expiringBefore": tomorrow });
    let refused = app.call(&app.admin.token, LIST, request).await;
    refused.invalid_field("include_ended");
}
