//! The duration of a refusal does not reveal whether its target exists: whatever a member may not see is looked up
//! in the same way, with the same work. A test beside `app::tokens` counts the statements.

use std::collections::BTreeMap;

use hallpass::domain::{
    id::{TokenId, UserId},
    token_text::{TokenPrefix, TokenText},
};
use http::Method;
use serde_json::{Value, json};

use crate::{
    client::Procedure,
    test_app::{START, TestApp},
};

const TOKENS: [&str; 7] = [
    "TokenService/GetToken",
    "TokenService/DeleteToken",
    "TokenService/LookUpToken",
    "TokenService/RotateToken",
    "TokenService/UndoRotation",
    "TokenService/UpdateToken",
    "TokenService/ExplainToken",
];
const USERS: [&str; 8] = [
    "TokenService/CreateToken",
    "TokenService/ListTokens",
    "UserService/GetUser",
    "UserService/LookUpUser",
    "UserService/UpdateUserSettings",
    "UserService/SetPassword",
    "UserService/DeactivateUser",
    "UserService/DeleteUser",
];

/// The work done by each queue of the store, and the hits and misses of the credential cache.
async fn work(app: &TestApp) -> BTreeMap<String, u64> {
    let text = app.metrics().ask(Method::GET, "/metrics", &[]).await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let counts = text.lines().filter_map(|line| {
        let (name, count) = line.rsplit_once(' ')?;
        let is_queue = name.starts_with("hallpass_store_queue_seconds_count");
        is_queue.then(|| (name.to_owned(), count.parse().unwrap()))
    });
    let mut counts: BTreeMap<_, u64> = counts.collect();
    assert_eq!(counts.len(), 3, "{text}");
    let (hits, misses) = app.app.credential_lookups();
    counts.insert("hits".to_owned(), hits);
    counts.insert("misses".to_owned(), misses);
    counts
}

/// The work that a refused request adds, after a first request like it.
async fn cost(app: &TestApp, token: &str, procedure: &str, message: &Value) -> Vec<u64> {
    let mut costs = Vec::new();
    for _ in 0..2 {
        let before = work(app).await;
        let answer = app.call(token, procedure, message.clone()).await;
        assert!(answer.result.is_err(), "{procedure} {message}");
        let after = work(app).await;
        costs = after
            .iter()
            .map(|(name, count)| count - before[name])
            .collect();
    }
    costs
}

#[tokio::test]
async fn refusals_to_a_member_cost_the_same_lookups_whether_or_not_the_target_exists() {
    let app = TestApp::start_with(|settings| {
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&bob, "robot").await;
    let dora = app.person("dora").await;
    let delete = json!({ "id": dora.id });
    let delete = app.call(&app.admin.token, "UserService/DeleteUser", delete);
    delete.await.ok();
    let id_of = |text: &str| TokenText::parse(text).unwrap().id().to_string();
    let (used, unused) = (bob.token.clone(), app.sign_in(&bob, json!({})).await);
    let deleted = app.sign_in(&bob, json!({})).await;
    let delete = json!({ "tokenId": deleted.id });
    let delete = app.call(&bob.token, "TokenService/DeleteToken", delete);
    delete.await.ok();
    let unknown = TokenText::generate(&TokenPrefix::default(), TokenId::generate(START));
    let targets = [
        ("in memory", bob.id.clone(), id_of(&used)),
        ("not in memory", robot.id.clone(), unused.id),
        ("deleted", dora.id.clone(), deleted.id),
        (
            "unknown",
            UserId::generate(START).to_string(),
            unknown.id().to_string(),
        ),
        ("malformed", "?".to_owned(), "?".to_owned()),
    ];
    app.stop_jobs().await;
    for procedure in TOKENS.into_iter().chain(USERS) {
        let mut costs = Vec::new();
        for (name, user, token) in &targets {
            assert!(app.accepts(&used).await && app.accepts(&alice.token).await);
            let mut message = Procedure::find(procedure).naming(user, "", token);
            let more = match procedure {
                "TokenService/UpdateToken" => json!({ "note": "seen" }),
                "UserService/UpdateUserSettings" => json!({ "description": "seen" }),
                "UserService/SetPassword" => {
                    json!({ "newPassword": "a password that is long enough" })
                }
                _ => json!({}),
            };
            let fields = message.as_object_mut().unwrap();
            fields.extend(more.as_object().unwrap().clone());
            costs.push((*name, cost(&app, &alice.token, procedure, &message).await));
        }
        let all_alike = costs.iter().all(|(_, cost)| *cost == costs[0].1);
        assert!(all_alike, "{procedure}: {costs:?}");
    }
    // The control: alice's own token takes different work, which is detected.
    let own = json!({ "tokenId": id_of(&alice.token) });
    let before = work(&app).await;
    app.call(&alice.token, TOKENS[0], own).await.ok();
    let after = work(&app).await;
    let lookup = before.keys().find(|name| name.contains("lookup")).unwrap();
    assert_eq!(after[lookup], before[lookup], "from the cache");
}
