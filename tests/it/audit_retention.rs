//! The retention of the audit log: what it removes, the checkpoint that it leaves, and when it removes nothing.

use std::time::Duration;

use hallpass::app::audit_stream::StreamAudit;
use serde_json::{Value, json};

use crate::test_app::{TestApp, verify_audit};

const DAY: Duration = Duration::from_hours(24);
const LIST: &str = "AuditService/ListAuditEvents";

/// A server that keeps audit rows for ten days, with `rows` rows of today.
async fn start(rows: i64) -> TestApp {
    let app = TestApp::start_with(|settings| {
        settings.app.audit_retention = Some(10 * DAY);
        settings.rerun_writes = true;
    })
    .await;
    while app.audit_len() < rows {
        app.child(&app.admin.token, json!({})).await;
    }
    app
}

/// Lets `days` pass, with a purge on each of them.
async fn pass_days(app: &TestApp, days: u32) {
    for _ in 0..days {
        app.clock.advance(DAY);
        app.app.purge().await.unwrap();
    }
}

fn first(app: &TestApp) -> i64 {
    let sql = "SELECT min(sequence) FROM audit";
    app.sql().query_one(sql, [], |row| row.get(0)).unwrap()
}

fn assert_intact(app: &TestApp) {
    let verdict = verify_audit(&app.sql(), None).unwrap();
    assert_eq!(verdict.breaks, []);
}

#[tokio::test]
async fn rows_are_removed_once_their_retention_is_over_and_the_chain_goes_on_from_the_checkpoint() {
    let app = start(12).await;
    pass_days(&app, 9).await;
    assert_eq!(first(&app), 1);
    app.child(&app.admin.token, json!({})).await;
    let (last_old, head) = (
        app.audit_len() - 1,
        verify_audit(&app.sql(), None).unwrap().head,
    );
    pass_days(&app, 2).await;
    assert_eq!(first(&app), last_old + 1);
    assert_intact(&app);
    let removed = verify_audit(&app.sql(), Some(head))
        .unwrap()
        .removed
        .unwrap();
    assert_eq!((removed.last, removed.retention), (last_old, 10 * DAY));

    let checkpoint = app.call(
        &app.admin.token,
        LIST,
        json!({ "filter": { "action": "audit.purge" } }),
    );
    let checkpoint = checkpoint.await.ok()["events"][0].clone();
    assert_eq!(checkpoint["sequence"], removed.checkpoint.to_string());
    assert_eq!(checkpoint["actor"], "system");
    assert_eq!(checkpoint["count"], last_old);
    let target = checkpoint["target"].as_str().unwrap();
    assert!(
        target.starts_with(&format!("{last_old}:")) && target.ends_with(" 10d"),
        "{target}"
    );

    // A row that is removed by other means is found as before.
    app.sql()
        .execute("DELETE FROM audit WHERE sequence = ?1", [last_old + 1])
        .unwrap();
    let breaks = verify_audit(&app.sql(), None).unwrap().breaks;
    assert_eq!(breaks[0].sequence, last_old + 1);
}

#[tokio::test]
async fn rows_are_kept_for_ever_by_default() {
    let app = TestApp::start().await;
    pass_days(&app, 30).await;
    assert_eq!(first(&app), 1);
    // Nor does a retention that is set later remove more than a day's rows a purge, if the clock just jumped.
    let app = app
        .restart_with(|settings| settings.app.audit_retention = Some(DAY))
        .await;
    app.clock.advance(6 * DAY);
    app.child(&app.admin.token, json!({})).await;
    app.app.purge().await.unwrap();
    assert!(first(&app) > 1);
    assert_intact(&app);
}

#[tokio::test]
async fn clock_that_jumps_ahead_removes_nothing_at_once() {
    let app = start(12).await;
    app.app.purge().await.unwrap();
    // Beyond seven days, nothing is removed until an operator confirms the clock.
    app.clock.advance(300 * DAY);
    for _ in 0..30 {
        app.app.purge().await.unwrap();
    }
    assert_eq!(first(&app), 1);
    let app = app.restart().await;
    app.app.purge().await.unwrap();
    assert_eq!(first(&app), 1);
    app.app.accept_clock();
    app.app.purge().await.unwrap();
    assert!(first(&app) > 1);
    assert_intact(&app);

    // Within them, the log's time follows by a day a purge.
    let app = TestApp::start_with(|settings| settings.app.audit_retention = Some(DAY)).await;
    app.app.purge().await.unwrap();
    app.clock.advance(DAY + DAY / 2);
    app.child(&app.admin.token, json!({})).await;
    let newer = app.audit_len();
    app.clock.advance(5 * DAY);
    app.app.purge().await.unwrap();
    assert_eq!(first(&app), 1, "the clock counts as a day ahead");
    app.app.purge().await.unwrap();
    assert_eq!(first(&app), newer, "two days");
    app.app.purge().await.unwrap();
    assert!(first(&app) > newer, "three days");
    assert_intact(&app);
}

#[tokio::test]
async fn a_row_of_the_future_keeps_those_after_it_and_an_idle_log_comes_to_rest() {
    let app = start(6).await;
    let later = app.clock.clone();
    later.advance(20 * DAY);
    app.child(&app.admin.token, json!({})).await;
    let future = app.audit_len();
    later.set(crate::test_app::START);
    app.child(&app.admin.token, json!({})).await;
    pass_days(&app, 15).await;
    assert_eq!(first(&app), future);
    pass_days(&app, 60).await;
    assert!(first(&app) > future);
    let rows = app.audit_len();
    pass_days(&app, 60).await;
    assert_eq!(app.audit_len(), rows, "checkpoints alone are not purged");
    assert_intact(&app);
}

#[tokio::test]
async fn a_purge_is_done_in_chunks_each_with_its_checkpoint_and_goes_on_after_a_stop() {
    let app = start(5).await;
    let (rows, last) = (1_300, app.audit_len());
    app.sql()
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO audit SELECT sequence + i, time, actor, credential_id, target, action, outcome, \
             count, request_id, client_request_id, ip, user_agent, hash, format, credential_kind, successor_id \
             FROM audit, n WHERE sequence = ?2",
            [rows - last, last],
        )
        .unwrap();
    crate::test_app::rechain(&app.sql());
    pass_days(&app, 11).await;
    let checkpoints: Vec<(i64, i64)> = app
        .sql()
        .prepare("SELECT sequence, count FROM audit WHERE action = 'audit.purge' ORDER BY sequence")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(checkpoints, [(1_301, 500), (1_302, 500), (1_303, 300)]);
    assert_eq!(first(&app), 1_301);
    assert_intact(&app);
    // What a kill between the chunks leaves is such a log, too.
    let app = app.restart().await;
    app.child(&app.admin.token, json!({})).await;
    pass_days(&app, 11).await;
    assert_intact(&app);
}

#[tokio::test]
async fn lists_filters_and_page_tokens_go_on_over_a_purge() {
    let app = start(12).await;
    let page = |token: Value| json!({ "pageSize": 3, "pageToken": token });
    let one = app.call(&app.admin.token, LIST, page(json!(""))).await.ok();
    assert_eq!(one["events"][0]["sequence"], "1");
    pass_days(&app, 9).await;
    app.child(&app.admin.token, json!({})).await;
    pass_days(&app, 2).await;
    let two = app
        .call(&app.admin.token, LIST, page(one["nextPageToken"].clone()))
        .await
        .ok();
    assert_eq!(two["events"][0]["sequence"], first(&app).to_string());
    // A token's explanation no longer names its maker, and nothing else fails.
    let made = app.child(&app.admin.token, json!({})).await;
    pass_days(&app, 12).await;
    let explain = json!({ "tokenId": made.id });
    let explained = app
        .call(&app.admin.token, "TokenService/ExplainToken", explain)
        .await
        .ok();
    assert!(explained.get("creation").is_none(), "{explained}");
}

#[tokio::test]
async fn whoever_reads_the_log_finds_all_of_it_or_is_told() {
    let app = start(12).await;
    pass_days(&app, 9).await;
    let caller = crate::test_app::local(&app.app);
    let mut reading = app
        .app
        .stream_audit(&caller, StreamAudit::default())
        .await
        .unwrap();
    for _ in 0..3 {
        app.clock.advance(DAY);
        app.app.purge().await.unwrap();
    }
    assert_eq!(first(&app), 1, "the purge waits for the reader");
    // Not for ever.
    for _ in 0..24 {
        app.clock.advance(DAY);
        app.app.purge().await.unwrap();
    }
    assert!(first(&app) > 1);
    let told = reading.next().await.unwrap_err();
    assert_eq!(told.reason().as_str(), "AUDIT_ROWS_PURGED");
    let stream = json!({ "afterSequence": "3" });
    let told = app.call(&app.admin.token, "AuditService/StreamAuditEvents", stream);
    told.await
        .refused("failed_precondition", "AUDIT_ROWS_PURGED");
}
