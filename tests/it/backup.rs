//! Backups: `BackUpData` sends a whole and intact copy on every wire, to admins alone, one at a time, and to nobody who
//! does not read it.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hallpass::app::{Error, backup::BackupPart};
use http_body_util::BodyExt as _;
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{self, Instant};

use crate::{
    client::{Call, Codec, Procedure, Protocol, Reply, Wire},
    test_app::{TestApp, local, verify_audit},
};

const BACK_UP: &str = "AdminService/BackUpData";

const BUSY: (&str, &str) = ("resource_exhausted", "OVERLOADED");

async fn back_up(app: &TestApp, wire: Wire, token: &str) -> Reply {
    let call = Call::new(BACK_UP, json!({})).bearer(token);
    app.client.call(wire, call).await
}

/// Makes the database larger than a client's and a server's buffers.
fn grow(app: &TestApp) {
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
               INSERT INTO meta SELECT 'filler' || i, randomblob(50000) FROM n";
    app.sql().execute(sql, []).unwrap();
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// The file that the messages carry, whose length and checksum are right.
fn file(messages: &[Value]) -> Vec<u8> {
    let chunks = messages.iter().filter_map(|message| message.get("chunk"));
    let file: Vec<u8> = chunks.flat_map(bytes).collect();
    let copy = &messages[0]["copy"];
    assert_eq!(copy["sizeBytes"], file.len().to_string());
    let end = &messages.last().unwrap()["end"];
    assert_eq!(end["sizeBytes"], file.len().to_string());
    assert_eq!(bytes(&end["sha256"]), Sha256::digest(&file)[..]);
    file
}

fn open(folder: &Path, file: &[u8]) -> Connection {
    let path = folder.join("backup.db");
    std::fs::write(&path, file).unwrap();
    Connection::open(path).unwrap()
}

#[tokio::test]
async fn backup_is_intact_on_every_wire_and_holds_its_own_record() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for wire in Wire::STREAMS {
        let reply = back_up(&app, wire, &app.admin.token).await;
        assert!(reply.result.is_ok(), "{wire:?}: {:?}", reply.result);
        let folder = tempfile::tempdir().unwrap();
        let backup = open(folder.path(), &file(&reply.messages));
        let text = |sql| backup.query_one(sql, [], |row| row.get::<_, String>(0));
        assert_eq!(text("PRAGMA integrity_check").unwrap(), "ok");
        let verdict = verify_audit(&backup, None).unwrap();
        assert_eq!(verdict.breaks, [], "{wire:?}");
        let copy = &reply.messages[0]["copy"];
        assert_eq!(copy["auditSequence"], verdict.head.sequence.to_string());
        assert_eq!(bytes(&copy["auditHash"]), verdict.head.hash.as_bytes());
        let last = "SELECT action || ' ' || actor || ' ' || request_id FROM audit ORDER BY sequence DESC LIMIT 1";
        let expected = format!("data.backup {} {}", app.admin.id, reply.request_id());
        assert_eq!(text(last).unwrap(), expected);
        let users =
            "SELECT group_concat(username) FROM (SELECT username FROM users ORDER BY username)";
        assert_eq!(text(users).unwrap(), "admin,alice");
    }
    let refused = back_up(&app, Wire::CURL, &alice.token).await;
    refused.refused("permission_denied", "PERMISSION_DENIED");
    let copy = format!("{}-backup", app.database_url());
    assert!(!Path::new(copy.trim_start_matches("sqlite:")).exists());
}

/// Waits until a backup is possible again.
async fn wait_until_free(app: &TestApp) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = back_up(app, Wire::CURL, &app.admin.token).await;
        if reply.result.is_ok() {
            return;
        }
        reply.refused(BUSY.0, BUSY.1);
        assert!(Instant::now() < deadline, "it is never free again");
    }
}

#[tokio::test]
async fn second_backup_is_refused_until_the_first_is_sent_or_its_client_is_gone() {
    let app = TestApp::start().await;
    grow(&app);
    for http2 in [false, true] {
        let wire = Wire::new(Protocol::Connect, Codec::Proto);
        let call = Call::new(BACK_UP, json!({})).bearer(&app.admin.token);
        let request = wire.request(&Procedure::find(BACK_UP), &call.message);
        let response = app.client.open(request, call.headers, http2).await;
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        let refused = back_up(&app, Wire::CURL, &app.admin.token).await;
        let failure = refused.refused(BUSY.0, BUSY.1);
        assert!(failure.message.contains("another backup"), "{failure:?}");
        // The control: everything else goes on.
        app.call(&app.admin.token, "TokenService/CreateToken", json!({}))
            .await
            .ok();
        drop(body);
        wait_until_free(&app).await;
    }
}

#[tokio::test]
async fn client_that_does_not_read_is_dropped() {
    let app = TestApp::start_with(|settings| {
        settings.server.limits.write_timeout = Duration::from_millis(300);
    })
    .await;
    grow(&app);
    for http2 in [false, true] {
        let wire = Wire::new(Protocol::Connect, Codec::Proto);
        let call = Call::new(BACK_UP, json!({})).bearer(&app.admin.token);
        let request = wire.request(&Procedure::find(BACK_UP), &call.message);
        let response = app.client.open(request, call.headers, http2).await;
        // Kept, and never read.
        let body = response.into_body();
        wait_until_free(&app).await;
        drop(body);
    }
}

#[tokio::test]
async fn backup_ends_when_its_caller_loses_the_right_to_it() {
    let app = TestApp::start().await;
    grow(&app);
    let root = app.further_admin("root").await;
    for wire in [Wire::CURL, Wire::new(Protocol::Grpc, Codec::Proto)] {
        let token = app.sign_in(&root, json!({})).await;
        let procedure = Procedure::find(BACK_UP);
        let call = Call::new(BACK_UP, json!({})).bearer(&token.text);
        let request = wire.request(&procedure, &call.message);
        let response = app.client.open(request, call.headers, true).await;
        let (head, mut body) = response.into_parts();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let delete = json!({ "tokenId": token.id });
        app.call(&app.admin.token, "TokenService/DeleteToken", delete)
            .await
            .ok();
        let rest = body.collect().await.unwrap();
        let trailers = rest.trailers().cloned().unwrap_or_default();
        let body = [&first[..], &rest.to_bytes()].concat().into();
        let reply = crate::client::HttpResponse {
            head,
            body,
            trailers,
        };
        let reply = wire.answer(&procedure, reply);
        assert!(reply.messages.iter().all(|part| part.get("end").is_none()));
        reply.refused("unauthenticated", "TOKEN_DELETED");
    }
}

#[tokio::test]
async fn backup_that_is_read_too_slowly_is_given_up() {
    let app = TestApp::start().await;
    for slow in [false, true] {
        let mut backup = app.app.back_up(&local(&app.app)).await.unwrap();
        let part = backup.next().await.unwrap();
        assert!(matches!(part, Some(BackupPart::Copy { .. })), "{part:?}");
        if slow {
            time::pause();
            time::advance(Duration::from_mins(2)).await;
            time::resume();
        }
        let next = backup.next().await;
        match next {
            Ok(Some(BackupPart::Chunk(_))) if !slow => {}
            Err(Error::Precondition { problem, .. }) if slow => {
                assert!(problem.contains("too slowly"), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }
}
