//! The audit log: what leaves a row, and what the row contains.

use serde_json::{Value, json};

use crate::{
    client::{Call, Reply, Wire},
    mutations,
    test_app::{START, TestApp, rfc3339, verify_audit},
};

/// The rows after `since`, as they are stored.
fn rows(app: &TestApp, since: i64) -> Vec<Value> {
    let sql = app.sql();
    let mut select = sql
        .prepare(
            "SELECT actor, credential_id, target, action, outcome, count, request_id, \
             client_request_id, ip, user_agent, successor_id FROM audit WHERE sequence > ?1 ORDER BY sequence",
        )
        .unwrap();
    let text = |row: &rusqlite::Row<'_>, i| row.get::<_, String>(i);
    let rows = select.query_map([since], |row| {
        Ok(json!({
            "actor": text(row, 0)?,
            "credential": text(row, 1)?,
            "target": text(row, 2)?,
            "action": text(row, 3)?,
            "outcome": text(row, 4)?,
            "count": row.get::<_, i64>(5)?,
            "request": text(row, 6)?,
            "clientRequest": text(row, 7)?,
            "ip": text(row, 8)?,
            "agent": text(row, 9)?,
            "successor": text(row, 10)?,
        }))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn whole(app: &TestApp) {
    let verdict = verify_audit(&app.sql(), None).unwrap();
    assert_eq!(verdict.breaks, []);
    assert_eq!(verdict.rows, app.audit_len().unsigned_abs());
}

fn actions(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn every_mutation_leaves_one_row_and_an_intact_chain() {
    let app = TestApp::start().await;
    for mutation in mutations::all(&app).await {
        let before = app.audit_len();
        let call = || {
            let call = Call::new(mutation.procedure, mutation.message.clone())
                .header("x-request-id", "build-42")
                .header("user-agent", "it/1");
            if mutation.by.is_empty() {
                call
            } else {
                call.bearer(&mutation.by)
            }
        };
        let answer = app.client.call(Wire::CURL, call()).await;
        let request_id = answer.request_id();
        let reply = answer.ok();
        let made = [&reply["metadata"]["id"], &reply["user"]["id"]];
        let successor = if mutation.action == "token.rotate" {
            made[0].as_str().unwrap()
        } else {
            ""
        };
        let target = mutation.target.clone().map_or_else(
            || made.into_iter().find(|id| id.is_string()).unwrap().clone(),
            Value::from,
        );
        let credential = mutation.by.split('_').nth(1).unwrap_or_default();
        let rows = rows(&app, before);
        let actor = rows[0]["actor"].clone();
        let expected = json!({
            "actor": actor,
            "credential": credential,
            "target": target,
            "successor": successor,
            "action": mutation.action,
            "outcome": "ok",
            "count": mutation.count,
            "request": request_id,
            "clientRequest": "build-42",
            "ip": "127.0.0.1",
            "agent": "it/1",
        });
        assert_eq!(rows, [expected], "{}", mutation.procedure);
        assert_eq!(actor.as_str().unwrap().len(), 22, "a user's ID");

        if mutation.repeats {
            let before = app.audit_len();
            app.client.call(Wire::CURL, call()).await.ok();
            assert_eq!(app.audit_len(), before, "{}", mutation.procedure);
        }
    }
    whole(&app);
}

#[tokio::test]
async fn refused_mutation_leaves_no_row() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let before = app.audit_len();
    for (procedure, message) in [
        ("TokenService/CreateToken", json!({ "note": "\n" })),
        (
            "TokenService/CreateToken",
            json!({ "userId": app.admin.id }),
        ),
        ("TokenService/DeleteToken", json!({ "tokenId": "x" })),
        ("UserService/CreateUser", json!({ "username": "x" })),
        ("UserService/DeleteUser", json!({ "id": app.admin.id })),
    ] {
        let answer = app.call(&alice.token, procedure, message).await;
        assert!(answer.result.is_err());
    }
    assert_eq!(app.audit_len(), before);
}

#[tokio::test]
async fn children_deleted_with_a_token_are_counted_in_its_row() {
    let app = TestApp::start().await;
    let parent = app.sign_in(&app.admin, json!({})).await;
    for _ in 0..3 {
        app.child(&parent.text, json!({})).await;
    }
    let before = app.audit_len();
    let delete = json!({ "tokenId": parent.id });
    let deleted = app.call(&app.admin.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    let rows = rows(&app, before);
    assert_eq!(actions(&rows), ["token.delete"]);
    assert_eq!(rows[0]["count"], 1 + 3);
    assert_eq!(rows[0]["target"], parent.id);
    whole(&app);
}

/// Every read of another user's data, as `(procedure, message, action, target)`.
fn reads(user: &str, name: &str, token: &str) -> Vec<(&'static str, Value, &'static str, String)> {
    vec![
        (
            "TokenService/GetToken",
            json!({ "tokenId": token }),
            "token.get",
            token.into(),
        ),
        (
            "TokenService/ExplainToken",
            json!({ "tokenId": token }),
            "token.explain",
            token.into(),
        ),
        (
            "TokenService/ListTokens",
            json!({ "userId": user }),
            "token.list",
            user.into(),
        ),
        (
            "UserService/GetUser",
            json!({ "id": user }),
            "user.get",
            user.into(),
        ),
        (
            "UserService/GetUserByUsername",
            json!({ "username": name }),
            "user.get",
            user.into(),
        ),
        (
            "TokenService/LookUpToken",
            json!({ "tokenId": token }),
            "token.get",
            token.into(),
        ),
        (
            "UserService/LookUpUser",
            json!({ "id": user, "withStakes": true }),
            "user.get",
            user.into(),
        ),
        (
            "UserService/ListUsers",
            json!({}),
            "user.list",
            String::new(),
        ),
        (
            "AuditService/ListAuditEvents",
            json!({}),
            "audit.list",
            String::new(),
        ),
    ]
}

#[tokio::test]
async fn only_admin_reads_of_others_data_are_recorded() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    for (procedure, message, action, target) in reads(&alice.id, "alice", &token.id) {
        let before = app.audit_len();
        let answer: Reply = app.call(&app.admin.token, procedure, message.clone()).await;
        answer.ok();
        let rows = rows(&app, before);
        assert_eq!(actions(&rows), [action], "{procedure}");
        assert_eq!(rows[0]["target"], target, "{procedure}");
        assert_eq!(rows[0]["actor"], app.admin.id, "{procedure}");
        if procedure != "AuditService/ListAuditEvents" {
            app.call(&alice.token, procedure, message).await.ok();
            assert_eq!(app.audit_len(), before + 1, "{procedure}");
        }
    }
    // Looking a user up by name is not recorded; what follows is.
    let before = app.audit_len();
    for message in [json!({ "id": alice.id }), json!({ "username": "alice" })] {
        let found = app.call(&app.admin.token, "UserService/LookUpUser", message);
        let found = found.await.ok();
        assert_eq!(found.get("liveTokens"), None, "{found}");
        assert_eq!(app.audit_len(), before);
    }
    let robot = app.machine(&alice, "robot").await;
    let before = app.audit_len();
    let owner_reads = reads(&robot.id, "robot", robot.token.split('_').nth(1).unwrap());
    for (procedure, message, ..) in owner_reads.into_iter().take(8) {
        app.call(&alice.token, procedure, message).await.ok();
    }
    assert_eq!(app.audit_len(), before);
    whole(&app);
}

#[tokio::test]
async fn log_is_listed_in_pages_with_hashes() {
    let app = TestApp::start().await;
    for _ in 0..4 {
        app.child(&app.admin.token, json!({})).await;
    }
    let list = async |request: Value| {
        let list = app.call(&app.admin.token, "AuditService/ListAuditEvents", request);
        list.await.ok()
    };
    let mut request = json!({ "pageSize": 2 });
    let mut sequences = Vec::new();
    for _ in 0..3 {
        let page = list(request.clone()).await;
        for event in page["events"].as_array().unwrap() {
            sequences.push(event["sequence"].as_str().unwrap().to_owned());
        }
        request["pageToken"] = page["nextPageToken"].clone();
    }
    assert_eq!(sequences, ["1", "2", "3", "4", "5", "6"]);
    let newest = list(json!({ "pageSize": 1, "reverse": true })).await;
    let event = &newest["events"][0];
    assert_eq!(event["action"], "audit.list");
    assert_eq!(event["sequence"], app.audit_len().to_string());
    assert_eq!(event["time"], rfc3339(START));
    let head = verify_audit(&app.sql(), None).unwrap().head;
    let hash = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        head.hash.as_bytes(),
    );
    assert_eq!(event["hash"], hash);
}

#[tokio::test]
async fn user_agents_are_truncated_and_escaped_and_bad_request_ids_dropped() {
    let app = TestApp::start().await;
    let create = async |agent: &[u8], id: &str| {
        let mut call = Call::new("TokenService/CreateToken", json!({})).bearer(&app.admin.token);
        let agent = http::HeaderValue::from_bytes(agent).unwrap();
        call.headers.insert("user-agent", agent);
        let before = app.audit_len();
        let call = call.header("x-request-id", id);
        app.client.call(Wire::CURL, call).await.ok();
        rows(&app, before).remove(0)
    };
    let row = create(&[b'a'; 300], "A-b_c.9").await;
    assert_eq!(row["agent"], "a".repeat(256));
    assert_eq!(row["clientRequest"], "A-b_c.9");
    let row = create("x\ty\u{9b}z".as_bytes(), &"x".repeat(65)).await;
    assert_eq!(row["agent"], "x\\ty\\u{9b}z");
    assert_eq!(row["clientRequest"], "");
    let row = create(b"", "a b").await;
    assert_eq!(row["clientRequest"], "");
    assert_eq!(row["agent"], "");
}

#[tokio::test]
async fn secrets_notes_and_unknown_names_never_enter_the_log() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let note = "remember-the-laptop";
    let token = app.sign_in(&alice, json!({ "note": note })).await;
    for name in ["alice", "unknown-name"] {
        let message = json!({ "username": name, "password": "wrong-guess-at-it" });
        let answer = app.call("", "TokenService/CreateToken", message).await;
        assert!(answer.result.is_err());
    }
    let stopped = app.stop().await;
    let everything: String = stopped
        .sql()
        .query_one(
            "SELECT group_concat(actor || credential_id || target || action || outcome || \
             request_id || client_request_id || ip || user_agent) FROM audit",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(everything.contains(&alice.id), "the search works");
    let secret = token.text.rsplit('_').next().unwrap();
    for never in [secret, note, "unknown-name", "wrong-guess", &alice.password] {
        assert!(!everything.contains(never), "{never}");
    }
}
