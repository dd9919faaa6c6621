//! `StreamAuditEvents` with `follow`: rows as they are written.

use std::time::{Duration, Instant};

use hallpass::app::audit_stream::{AuditStream, StreamAudit};
use serde_json::json;
use tokio::time::timeout;

use crate::test_app::{TestApp, local};

const SECONDS: Duration = Duration::from_secs(30);

async fn follow(app: &TestApp, newest: u32, after: Option<i64>) -> AuditStream {
    let request = StreamAudit {
        follow: true,
        newest,
        after,
        ..StreamAudit::default()
    };
    app.app
        .stream_audit(&local(&app.app), request)
        .await
        .unwrap()
}

/// The numbers of the next rows.
async fn next(stream: &mut AuditStream) -> Vec<i64> {
    loop {
        let part = timeout(SECONDS, stream.next()).await.expect("a part comes");
        let part = part.unwrap().expect("it goes on");
        if !part.rows.is_empty() {
            return part.rows.iter().map(|linked| linked.row.sequence).collect();
        }
    }
}

#[tokio::test]
async fn followers_get_the_newest_rows_and_then_each_row_once() {
    let app = TestApp::start().await;
    let mut stream = follow(&app, 2, None).await;
    let last = app.audit_len();
    assert_eq!(next(&mut stream).await, [last - 1, last]);
    for _ in 0..3 {
        app.child(&app.admin.token, json!({})).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(next(&mut stream).await);
    }
    assert_eq!(seen, [last + 1, last + 2, last + 3]);
    // Going on after a row that was seen.
    let mut again = follow(&app, 9, Some(last + 1)).await;
    assert_eq!(next(&mut again).await[..2], [last + 2, last + 3]);
    app.app.end_followers();
    while timeout(SECONDS, again.next())
        .await
        .unwrap()
        .unwrap()
        .is_some()
    {}
}

#[tokio::test]
async fn follower_that_loses_its_right_is_ended_within_seconds_though_nothing_is_written() {
    let app = TestApp::start().await;
    let root = app.further_admin("root").await;
    let token = app.sign_in(&root, json!({})).await;
    let message = json!({ "follow": true });
    let call =
        crate::client::Call::new("AuditService/StreamAuditEvents", message).bearer(&token.text);
    let client = app.client.clone();
    let call = tokio::spawn(async move { client.call(crate::client::Wire::CURL, call).await });
    let began = Instant::now();
    let demote = json!({ "userId": root.id, "serverRole": "SERVER_ROLE_MEMBER" });
    app.call(&app.admin.token, "UserService/UpdateUserServerRole", demote)
        .await
        .ok();
    let answer = timeout(SECONDS, call).await.expect("it ends").unwrap();
    answer.refused("permission_denied", "PERMISSION_DENIED");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn followers_are_bounded_and_a_place_is_free_again() {
    let app = TestApp::start().await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(follow(&app, 0, None).await);
    }
    let message = json!({ "follow": true });
    let refused = app.call(
        &app.admin.token,
        "AuditService/StreamAuditEvents",
        message.clone(),
    );
    refused.await.refused("resource_exhausted", "OVERLOADED");
    // Whoever reads what is there is no follower.
    app.call(
        &app.admin.token,
        "AuditService/StreamAuditEvents",
        json!({}),
    )
    .await
    .ok();
    streams.pop();
    follow(&app, 0, None).await;
}
