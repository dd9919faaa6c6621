//! `verify_audit` reports any change made to the log by other means.

use hallpass::domain::audit::ChainHead;
use rusqlite::Connection;
use serde_json::json;

use crate::test_app::{self, TestApp, verify_audit};

/// The chain is intact.
const WHOLE: [i64; 0] = [];

/// Starts a server with more than ten audit rows; also returns the head.
async fn with_a_log() -> (TestApp, ChainHead) {
    let app = TestApp::start().await;
    for _ in 0..10 {
        app.child(&app.admin.token, json!({})).await;
    }
    let head = verify_audit(&app.sql(), None).unwrap().head;
    (app, head)
}

fn broken_at(app: &TestApp, noted: Option<ChainHead>) -> Vec<i64> {
    let verdict = verify_audit(&app.sql(), noted).unwrap();
    verdict.breaks.iter().map(|b| b.sequence).collect()
}

fn execute(sql: &Connection, statement: &str) {
    sql.execute_batch(statement).unwrap();
}

#[tokio::test]
async fn untouched_chain_verifies_and_continues_from_a_noted_head() {
    let (app, head) = with_a_log().await;
    app.child(&app.admin.token, json!({})).await;
    assert_eq!(broken_at(&app, None), WHOLE);
    assert_eq!(broken_at(&app, Some(head)), WHOLE);
}

#[tokio::test]
async fn any_edited_field_is_reported() {
    let (app, _) = with_a_log().await;
    for column in [
        "time = time + 1",
        "actor = actor || 'x'",
        "credential_kind = 'local'",
        "format = 1",
        "format = 9",
        "credential_id = 'x'",
        "target = actor",
        "successor_id = target",
        "action = 'token.delete'",
        "outcome = 'x'",
        "count = 2",
        "request_id = ''",
        "client_request_id = 'x'",
        "ip = '127.0.0.2'",
        "user_agent = 'x'",
        "hash = zeroblob(32)",
    ] {
        let sql = app.sql();
        execute(&sql, "CREATE TABLE saved AS SELECT * FROM audit");
        let update = format!("UPDATE audit SET {column} WHERE sequence = 5");
        execute(&sql, &update);
        let breaks = broken_at(&app, None);
        assert_eq!(breaks.first(), Some(&5), "{column}: {breaks:?}");
        execute(
            &sql,
            "DELETE FROM audit; INSERT INTO audit SELECT * FROM saved; DROP TABLE saved",
        );
        assert_eq!(broken_at(&app, None), WHOLE, "{column}");
    }
}

#[tokio::test]
async fn removed_rows_are_reported() {
    for first in [1, 5] {
        let (app, _) = with_a_log().await;
        let delete = format!("DELETE FROM audit WHERE sequence = {first}");
        execute(&app.sql(), &delete);
        let breaks = broken_at(&app, None);
        assert!(!breaks.is_empty() && breaks[0] <= first + 1, "{breaks:?}");
    }
}

/// A row before the first one, as an attacker with write access could add it.
const PLANTED: &str = "INSERT INTO audit (sequence, time, actor, credential_id, target, action, outcome, count, \
                       request_id, client_request_id, ip, user_agent, hash) \
                       SELECT -7, time, 'nobody', '', target, action, outcome, 1, '', '', '', '', hash \
                       FROM audit WHERE sequence = 1";

#[tokio::test]
async fn rows_below_1_are_reported_and_streamed_but_never_listed() {
    let (app, _) = with_a_log().await;
    let sql = app.sql();
    let refused = sql.execute_batch(PLANTED).unwrap_err();
    assert!(refused.to_string().contains("numbered from 1"), "{refused}");
    execute(&sql, "DROP TRIGGER audit_numbered");
    execute(&sql, PLANTED);
    let verdict = verify_audit(&sql, None).unwrap();
    let named: Vec<_> = verdict
        .breaks
        .iter()
        .map(|b| (b.sequence, &*b.problem))
        .collect();
    assert_eq!(
        named,
        [(-7, "numbered below 1, where the log begins: planted")]
    );

    let ask = async |procedure: &str, message| app.call(&app.admin.token, procedure, message).await;
    let stream = ask("AuditService/StreamAuditEvents", json!({})).await;
    let first = &stream.messages[0]["events"][0];
    assert_eq!(
        (&first["sequence"], &first["actor"]),
        (&json!("-7"), &json!("nobody"))
    );
    assert_eq!(stream.messages[0]["events"][1]["sequence"], "1");
    let list = "AuditService/ListAuditEvents";
    let listed = ask(list, json!({ "pageSize": 1 })).await.ok();
    assert_eq!(listed["events"][0]["sequence"], "1");
    let newest = json!({ "pageSize": 250, "reverse": true });
    let listed = ask(list, newest).await.ok();
    let events = listed["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["actor"] != "nobody"));
    // A token's explanation uses its own row.
    let child = app.child(&app.admin.token, json!({})).await;
    let planted = format!(
        "UPDATE audit SET action = 'token.create', target = '{}' WHERE sequence = -7",
        child.id
    );
    execute(&sql, &planted);
    let explained = ask("TokenService/ExplainToken", json!({ "tokenId": child.id }))
        .await
        .ok();
    assert!(!explained.to_string().contains("nobody"), "{explained}");
}

#[tokio::test]
async fn rows_of_the_first_format_still_verify() {
    let (app, _) = with_a_log().await;
    let sql = app.sql();
    execute(
        &sql,
        "UPDATE audit SET format = 1, credential_kind = '', successor_id = ''",
    );
    let mut select = sql
        .prepare("SELECT sequence FROM audit ORDER BY sequence")
        .unwrap();
    let rows = select.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    let rows: Vec<_> = rows.map(Result::unwrap).collect();
    assert_eq!(
        broken_at(&app, None),
        rows,
        "the hashes now have the new format"
    );
    test_app::rechain(&sql);
    assert_eq!(broken_at(&app, None), WHOLE);
    app.child(&app.admin.token, json!({})).await;
    assert_eq!(
        broken_at(&app, None),
        WHOLE,
        "a new row continues the chain"
    );
}

#[tokio::test]
async fn swapped_rows_are_reported() {
    let (app, _) = with_a_log().await;
    execute(
        &app.sql(),
        "UPDATE audit SET sequence = 1000 WHERE sequence = 4;
         UPDATE audit SET sequence = 4 WHERE sequence = 5;
         UPDATE audit SET sequence = 5 WHERE sequence = 1000",
    );
    let breaks = broken_at(&app, None);
    assert_eq!(breaks.first(), Some(&4), "{breaks:?}");
}

#[tokio::test]
async fn truncation_is_detected_only_with_a_noted_head() {
    let (app, head) = with_a_log().await;
    let delete = format!("DELETE FROM audit WHERE sequence > {}", head.sequence - 3);
    execute(&app.sql(), &delete);
    assert_eq!(broken_at(&app, None), WHOLE, "the rest is an intact chain");
    let breaks = broken_at(&app, Some(head));
    assert!(!breaks.is_empty());
    // Later rows do not hide the truncation.
    for _ in 0..5 {
        app.child(&app.admin.token, json!({})).await;
    }
    assert_eq!(broken_at(&app, None), WHOLE);
    let breaks = broken_at(&app, Some(head));
    assert_eq!(breaks, [head.sequence]);
}
