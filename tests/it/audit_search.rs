//! `ListAuditEvents` with a filter.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{NewToken, TestApp};

const LIST: &str = "AuditService/ListAuditEvents";

/// All events that `filter` selects, over all pages.
async fn all(app: &TestApp, filter: &Value, size: u32, reverse: bool) -> Vec<Value> {
    let mut request = json!({ "filter": filter, "pageSize": size, "reverse": reverse });
    let mut events = Vec::new();
    loop {
        let page = app.call(&app.admin.token, LIST, request.clone()).await.ok();
        let found = page["events"].as_array().into_iter().flatten();
        events.extend(found.cloned());
        match page.get("nextPageToken") {
            Some(next) => request["pageToken"] = next.clone(),
            None => return events,
        }
    }
}

/// Each event as `actor action target`, with names in place of IDs.
fn told(events: &[Value], names: &[(&str, &str)]) -> Vec<String> {
    let field = |event: &Value, name: &str| {
        let text = event[name].as_str().unwrap_or("-").to_owned();
        let known = names.iter().find(|(id, _)| *id == text);
        known.map_or(text, |(_, name)| (*name).to_owned())
    };
    events
        .iter()
        .map(|event| ["actor", "action", "target"].map(|name| field(event, name)))
        .map(|fields| fields.join(" "))
        .collect()
}

#[tokio::test]
async fn events_are_found_by_actor_target_action_and_time_alone_and_combined() {
    let app = TestApp::start().await;
    let admin = &app.admin;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    app.clock.advance(Duration::from_secs(10));
    let later = app.clock.after(Duration::ZERO);
    let token = app.sign_in(&alice, json!({})).await;
    let child = app.child(&token.text, json!({ "userId": robot.id })).await;
    app.clock.advance(Duration::from_secs(10));
    let latest = app.clock.after(Duration::ZERO);
    let delete = json!({ "tokenId": child.id });
    app.call(&alice.token, "TokenService/DeleteToken", delete)
        .await
        .ok();
    let get = json!({ "tokenId": token.id });
    app.call(&admin.token, "TokenService/GetToken", get)
        .await
        .ok();
    // A deleted user is still found by its name.
    for gone in [&robot.id, &alice.id] {
        let gone = json!({ "id": gone });
        app.call(&admin.token, "UserService/DeleteUser", gone)
            .await
            .ok();
    }

    let names = [
        (&*admin.id, "admin"),
        (&*alice.id, "alice"),
        (&*robot.id, "robot"),
        (&*token.id, "token"),
        (&*child.id, "child"),
    ];
    for (filter, expected) in [
        (
            json!({ "actor": "alice", "timeFrom": later }),
            &[
                "alice token.create token",
                "alice token.create child",
                "alice token.delete child",
            ][..],
        ),
        (
            json!({ "actor": alice.id, "timeFrom": later, "timeBefore": latest }),
            &["alice token.create token", "alice token.create child"],
        ),
        (
            json!({ "actor": "Alice", "action": "token.delete" }),
            &["alice token.delete child"],
        ),
        (json!({ "actor": token.id }), &["alice token.create child"]),
        (json!({ "actor": token.id, "action": "user" }), &[]),
        (
            json!({ "target": child.id }),
            &["alice token.create child", "alice token.delete child"],
        ),
        (json!({ "target": child.id, "actor": "admin" }), &[]),
        (
            json!({ "target": token.id, "actor": "admin", "action": "token" }),
            &["admin token.get token"],
        ),
        (
            json!({ "target": "alice", "action": "user", "timeFrom": later }),
            &["admin user.delete alice"],
        ),
        (
            json!({ "action": "token.delete" }),
            &["alice token.delete child"],
        ),
        (json!({ "actor": "local:4294967295" }), &[]),
    ] {
        let mut expected = expected.to_vec();
        for size in [1, 250] {
            let found = all(&app, &filter, size, false).await;
            assert_eq!(told(&found, &names), expected, "{filter}");
        }
        let found = all(&app, &filter, 2, true).await;
        expected.reverse();
        assert_eq!(told(&found, &names), expected, "{filter}");
    }
    // The server itself and local callers are actors, too: that is how the first admin was created.
    let system = all(&app, &json!({ "actor": "system" }), 50, false).await;
    let all_events = all(&app, &Value::Null, 250, false).await;
    let of = |actor: &str| {
        let of = |event: &&Value| event["actor"].as_str().unwrap_or("").starts_with(actor);
        all_events.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    assert_eq!(system, of("system"));
    assert!(!system.is_empty());
    let local = all(&app, &json!({ "actor": "local" }), 1, false).await;
    assert_eq!(local, of("local:"));
}

#[tokio::test]
async fn purged_token_is_found_while_the_log_mentions_it() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let child = app.child(&token.text, json!({})).await;
    for (filter, action) in [
        (json!({ "actor": token.id }), "token.create"),
        (
            json!({ "target": child.id, "actor": token.id }),
            "token.create",
        ),
    ] {
        let before = all(&app, &filter, 50, false).await;
        assert_eq!(before.len(), 1);
        assert_eq!(before[0]["action"], action);
        app.sql()
            .execute("DELETE FROM tokens WHERE id = ?1", [&token.id])
            .unwrap();
        assert_eq!(all(&app, &filter, 50, false).await, before);
    }
}

#[tokio::test]
async fn rotation_is_found_by_either_token() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let old = app.sign_in(&alice, json!({})).await;
    let rotate = json!({ "tokenId": old.id });
    let rotated = app.call(&old.text, "TokenService/RotateToken", rotate);
    let new = NewToken::read(&rotated.await.ok()).id;
    let get = json!({ "tokenId": new });
    app.call(&app.admin.token, "TokenService/GetToken", get)
        .await
        .ok();
    let names = [
        (&*alice.id, "alice"),
        (&*app.admin.id, "admin"),
        (&*old.id, "old"),
        (&*new, "new"),
    ];
    for (target, expected) in [
        (
            &old.id,
            ["alice token.create old", "alice token.rotate old"],
        ),
        (&new, ["alice token.rotate old", "admin token.get new"]),
    ] {
        let mut expected = expected;
        let filter = json!({ "target": target });
        for size in [1, 50] {
            let found = all(&app, &filter, size, false).await;
            assert_eq!(told(&found, &names), expected);
        }
        let found = all(&app, &filter, 1, true).await;
        expected.reverse();
        assert_eq!(told(&found, &names), expected);
    }
    // It is found for as long as the log mentions it.
    let filter = json!({ "target": new, "action": "token.rotate" });
    app.sql()
        .execute("DELETE FROM tokens WHERE id = ?1", [&new])
        .unwrap();
    assert_eq!(all(&app, &filter, 50, false).await.len(), 1);
}

#[tokio::test]
async fn unknown_actor_target_or_action_is_named_in_the_refusal() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let refused = async |filter: Value, field: &str| {
        let request = json!({ "filter": filter });
        let answer = app.call(&app.admin.token, LIST, request).await;
        answer.invalid_field(field).message
    };
    let message = refused(json!({ "actor": "alic" }), "filter.actor").await;
    assert_eq!(message, "filter.actor: there is no user alic");
    let message = refused(json!({ "target": "local" }), "filter.target").await;
    assert_eq!(message, "filter.target: there is no user local");
    let unknown = "0".repeat(22);
    for odd in [&*unknown, "local:", "local:x", "al ice", "\u{202e}"] {
        let message = refused(json!({ "actor": odd }), "filter.actor").await;
        let expected = "filter.actor: is neither a user's name or ID nor a token's ID";
        assert_eq!(message, expected, "{odd}");
    }
    let message = refused(json!({ "action": "token.crate" }), "filter.action").await;
    let expected =
        r#"filter.action: there is no action "token.crate": did you mean "token.create"?"#;
    assert_eq!(message, expected);
    let message = refused(json!({ "action": "tokens" }), "filter.action").await;
    assert!(message.contains(r#"did you mean "token"?"#), "{message}");

    // A caller who may not read the log does not learn which users exist.
    for actor in ["alic", "alice"] {
        let request = json!({ "filter": { "actor": actor, "action": "nonsense" } });
        let answer = app.call(&alice.token, LIST, request).await;
        answer.refused("permission_denied", "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn page_token_is_bound_to_its_filter() {
    let app = TestApp::start().await;
    app.person("alice").await;
    app.person("bob").await;
    let filters = [
        Value::Null,
        json!({ "actor": "admin" }),
        json!({ "target": "admin" }),
        json!({ "actor": "local" }),
        json!({ "action": "user" }),
        json!({ "action": "user.create" }),
        json!({ "timeFrom": app.clock.after(Duration::ZERO) }),
        json!({ "timeBefore": app.clock.after(Duration::from_hours(1)) }),
    ];
    let mut tokens = 0;
    for (number, filter) in filters.iter().enumerate() {
        let ask = json!({ "filter": filter, "pageSize": 1 });
        let page = app.call(&app.admin.token, LIST, ask).await.ok();
        let Some(token) = page.get("nextPageToken") else {
            continue;
        };
        tokens += 1;
        for (other, filter) in filters.iter().enumerate() {
            let ask = json!({ "filter": filter, "pageToken": token });
            let answer = app.call(&app.admin.token, LIST, ask).await;
            if other == number {
                answer.ok();
            } else {
                answer.invalid_field("page_token");
            }
        }
    }
    assert!(tokens > 3, "{tokens}");
}
