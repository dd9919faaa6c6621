//! `StreamAuditEvents`: the whole audit log, to verify or to copy.

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::{
    client::{Call, HttpResponse, Procedure, Reply, Wire},
    test_app::TestApp,
};

const STREAM: &str = "AuditService/StreamAuditEvents";

/// Adds `count` rows to the log.
fn plant(app: &TestApp, rows: i64) {
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
               INSERT INTO audit SELECT sequence + i, time, actor, credential_id, target, action, outcome, \
               count, request_id, client_request_id, ip, user_agent, hash, format, credential_kind, successor_id FROM audit, n \
               WHERE sequence = (SELECT max(sequence) FROM audit)";
    app.sql().execute(sql, [rows]).unwrap();
}

async fn stream(app: &TestApp, wire: Wire, after: &str) -> Reply {
    let message = json!({ "afterSequence": after });
    let call = Call::new(STREAM, message).bearer(&app.admin.token);
    app.client.call(wire, call).await
}

fn sequences(parts: &[Value]) -> Vec<Vec<i64>> {
    let number = |event: &Value| event["sequence"].as_str().unwrap().parse().unwrap();
    let events = |part: &Value| part["events"].as_array().unwrap().clone();
    let parts = parts.iter().map(events);
    parts
        .map(|events| events.iter().map(number).collect())
        .collect()
}

#[tokio::test]
async fn stream_sends_every_row_once_in_order_up_to_its_own() {
    let app = TestApp::start().await;
    plant(&app, 1_200);
    for wire in Wire::STREAMS {
        let answer = stream(&app, wire, "0").await;
        let id = answer.request_id();
        assert!(answer.result.is_ok(), "{wire:?}: {:?}", answer.result);
        let parts = sequences(&answer.messages);
        let sizes: Vec<_> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes[..2], [500, 500], "{wire:?}");
        let all: Vec<_> = (1..=app.audit_len()).collect();
        assert_eq!(parts.concat(), all, "{wire:?}");
        let last = answer.messages.last().unwrap()["events"]
            .as_array()
            .unwrap();
        let last = last.last().unwrap();
        assert_eq!(
            (&last["action"], &last["requestId"]),
            (&json!("audit.list"), &json!(id))
        );
    }
}

#[tokio::test]
async fn stream_resumes_after_a_row_and_is_empty_after_the_last() {
    let app = TestApp::start().await;
    plant(&app, 600);
    for wire in Wire::STREAMS {
        let before = app.audit_len();
        for after in [1, 500, before - 1, before, before + 1] {
            let answer = stream(&app, wire, &after.to_string()).await;
            let rest: Vec<_> = (after + 1..=app.audit_len()).collect();
            assert_eq!(
                sequences(&answer.messages).concat(),
                rest,
                "{wire:?} {after}"
            );
        }
        for after in [i64::MAX.to_string(), u64::MAX.to_string()] {
            assert_eq!(stream(&app, wire, &after).await.ok(), json!([]), "{wire:?}");
        }
    }
}

/// Calls as a second admin over HTTP/2, reads the first bytes, runs `meanwhile`, and reads the rest.
async fn stream_slowly(
    app: &TestApp,
    wire: Wire,
    token: &str,
    meanwhile: impl Future<Output = ()>,
) -> Reply {
    let procedure = Procedure::find(STREAM);
    let call = Call::new(STREAM, json!({})).bearer(token);
    let request = wire.request(&procedure, &call.message);
    let response = app.client.open(request, call.headers, true).await;
    let (head, mut body) = response.into_parts();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    meanwhile.await;
    let rest = body.collect().await.unwrap();
    let trailers = rest.trailers().cloned().unwrap_or_default();
    let body = Bytes::from([&first[..], &rest.to_bytes()].concat());
    let reply = HttpResponse {
        head,
        body,
        trailers,
    };
    wire.answer(&procedure, reply)
}

#[tokio::test]
async fn stream_stops_when_its_caller_loses_the_right_to_read() {
    let app = TestApp::start().await;
    let root = app.further_admin("root").await;
    plant(&app, 5_000);
    let by_admin = async |procedure: &str, message: Value| {
        let answer = app.call(&app.admin.token, procedure, message);
        answer.await.ok();
    };
    for wire in Wire::STREAMS {
        let token = app.sign_in(&root, json!({})).await;
        // The control: nothing changes meanwhile.
        let answer = stream_slowly(&app, wire, &token.text, async {}).await;
        assert!(answer.result.is_ok(), "{wire:?}: {:?}", answer.result);
        let all: Vec<_> = (1..=app.audit_len()).collect();
        assert_eq!(sequences(&answer.messages).concat(), all, "{wire:?}");

        let role = async |role: &str| {
            let message = json!({ "userId": root.id, "serverRole": role });
            by_admin("UserService/UpdateUserServerRole", message).await;
        };
        let answer = stream_slowly(&app, wire, &token.text, role("SERVER_ROLE_MEMBER")).await;
        assert_is_cut(&answer);
        answer.refused("permission_denied", "PERMISSION_DENIED");
        role("SERVER_ROLE_ADMIN").await;

        let delete = json!({ "tokenId": token.id });
        let delete = by_admin("TokenService/DeleteToken", delete);
        let answer = stream_slowly(&app, wire, &token.text, delete).await;
        assert_is_cut(&answer);
        answer.refused("unauthenticated", "TOKEN_DELETED");
    }
}

/// The stream began normally and has no rows that were read after its caller lost access.
fn assert_is_cut(answer: &Reply) {
    let count = sequences(&answer.messages).concat().len();
    assert!((500..=1_000).contains(&count), "{count}");
}

/// A stream that is refused before its first message is counted under that error code.
#[tokio::test]
async fn refused_stream_is_counted_as_refused() {
    let app = TestApp::start_with(|settings| {
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let alice = app.person("alice").await;
    for wire in Wire::STREAMS {
        let call = Call::new(STREAM, json!({})).bearer(&alice.token);
        let answer = app.client.call(wire, call).await;
        answer.refused("permission_denied", "PERMISSION_DENIED");
    }
    let metrics = app.metrics().ask(http::Method::GET, "/metrics", &[]).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let counted = |code: &str| {
        let of_stream = |line: &&str| line.contains(STREAM) && line.contains(code);
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("hallpass_requests_total"));
        lines.filter(of_stream).count()
    };
    assert_eq!(counted("code=\"ok\""), 0, "{metrics}");
    // One per protocol.
    assert_eq!(counted("code=\"permission_denied\""), 3, "{metrics}");
}
