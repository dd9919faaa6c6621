//! When and from where a token was last used: known within a minute, without a write per request.

use std::time::Duration;

use hallpass::app::background::last_use::Flush;
use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    cli::sandbox::Sandbox,
    client::{Call, Wire},
    test_app::{NewToken, START, TestApp, rfc3339},
};

const MINUTE: Duration = Duration::from_mins(1);
const GET: &str = "TokenService/GetToken";
const VERIFY: &str = "TokenService/VerifyToken";

/// The stored last use of a token: microseconds and address.
fn stored(sql: &Connection, token: &NewToken) -> (Option<i64>, Option<String>) {
    let select = "SELECT last_use_time, last_use_ip FROM tokens WHERE id = ?1";
    sql.query_one(select, [&token.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

/// Waits until the job has written a use of the token, as it does after a minute.
async fn written(app: &TestApp, token: &NewToken) {
    let sql = app.sql();
    let wait = async {
        while stored(&sql, token).0.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    waited.expect("the job writes within its minute");
}

async fn get(app: &TestApp, token: &NewToken) -> Value {
    let message = json!({ "tokenId": token.id });
    let got = app.call(&app.admin.token, GET, message).await.ok();
    got["token"].clone()
}

async fn verify(app: &TestApp, message: Value) -> bool {
    let answer = app.call(&app.admin.token, VERIFY, message).await.ok();
    answer["valid"] == true
}

#[tokio::test]
async fn use_is_written_after_its_minute_and_returned_over_every_wire() {
    let app = TestApp::start().await;
    let used = app.sign_in(&app.admin, json!({})).await;
    let unused = app.sign_in(&app.admin, json!({})).await;
    app.clock.advance(Duration::from_secs(2));
    let rows = app.audit_len();
    for _ in 0..3 {
        assert!(app.accepts(&used.text).await);
    }
    assert_eq!(get(&app, &used).await.get("lastUse"), None);
    assert_eq!(
        stored(&app.sql(), &used),
        (None, None),
        "not at each request"
    );

    app.clock.advance(MINUTE);
    written(&app, &used).await;
    let expected =
        json!({ "time": rfc3339(START.plus(Duration::from_secs(2))), "ip": "127.0.0.1" });
    for wire in Wire::ALL {
        let message = json!({ "tokenId": used.id });
        let call = Call::new(GET, message).bearer(&app.admin.token);
        let got = app.client.call(wire, call).await.ok();
        assert_eq!(got["token"]["lastUse"], expected, "{wire:?}");
    }
    let list = app.call(&app.admin.token, "TokenService/ListTokens", json!({}));
    let list = list.await.ok();
    let listed = list["tokens"].as_array().unwrap();
    let of = |id: &str| listed.iter().find(|token| token["id"] == id).unwrap();
    assert_eq!(of(&used.id)["lastUse"], expected);
    assert_eq!(of(&unused.id).get("lastUse"), None);
    assert_eq!(
        app.audit_len(),
        rows,
        "only the token's actions are recorded"
    );
}

#[tokio::test]
async fn verification_counts_as_a_use_from_the_reported_address() {
    let app = TestApp::start().await;
    let asked = app.sign_in(&app.admin, json!({})).await;
    let from = json!({ "token": asked.text, "clientIp": "::ffff:10.1.2.3" });
    assert!(verify(&app, from).await);
    app.app.flush_uses(Flush::Now).await.unwrap();
    let last = get(&app, &asked).await["lastUse"].clone();
    let told = json!({ "time": rfc3339(START), "ip": "10.1.2.3", "reporterIp": "127.0.0.1" });
    assert_eq!(last, told, "with the caller who reported it");
    let caller: i64 = app
        .sql()
        .query_one(
            "SELECT count(*) FROM tokens WHERE last_use_ip = '127.0.0.1'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(caller, 1, "the caller's own use");

    // The address belongs to that use: a later use without one does not keep the older address.
    app.clock.advance(Duration::from_secs(1));
    assert!(verify(&app, json!({ "token": asked.text })).await);
    app.app.flush_uses(Flush::Now).await.unwrap();
    let last = get(&app, &asked).await["lastUse"].clone();
    let time = rfc3339(START.plus(Duration::from_secs(1)));
    assert_eq!(last, json!({ "time": time }));
}

/// Otherwise a thief of a token could forge its last use.
#[tokio::test]
async fn token_verifying_itself_is_used_from_its_own_address() {
    let app = TestApp::start().await;
    let token = app.sign_in(&app.admin, json!({})).await;
    let bearer = format!("Bearer {}", token.text);
    let headers = [("authorization", &*bearer)];
    let form = [("token", &*token.text), ("client_ip", "10.1.2.3")];
    let message = json!({ "token": token.text, "clientIp": "10.1.2.3" });
    for by_procedure in [true, false] {
        app.clock.advance(Duration::from_secs(1));
        if by_procedure {
            let answer = app.call(&token.text, VERIFY, message.clone()).await.ok();
            assert_eq!(answer["valid"], true);
        } else {
            let reply = app.client.form("/oauth2/introspect", &headers, &form).await;
            assert_eq!(reply.json()["active"], true);
        }
        app.app.flush_uses(Flush::Now).await.unwrap();
        let last = get(&app, &token).await["lastUse"].clone();
        assert_eq!(
            (&last["ip"], last.get("reporterIp")),
            (&json!("127.0.0.1"), None)
        );
    }
}

#[tokio::test]
async fn forward_auth_counts_as_a_use_from_the_clients_address() {
    let app = TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let token = app.sign_in(&app.admin, json!({})).await;
    let bearer = format!("Bearer {}", token.text);
    let headers = [
        ("authorization", &*bearer),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    let reply = app.client.ask(Method::GET, "/forward-auth", &headers).await;
    assert_eq!(reply.head.status, 200);
    app.app.flush_uses(Flush::Now).await.unwrap();
    let last = get(&app, &token).await["lastUse"].clone();
    assert_eq!(last, json!({ "time": rfc3339(START), "ip": "192.0.2.7" }));
}

/// The control: a deletion invalidates the cached credential.
#[tokio::test]
async fn writing_last_uses_keeps_credentials_cached() {
    let app = TestApp::start().await;
    let token = app.sign_in(&app.admin, json!({})).await;
    let ask = async || {
        let message = json!({ "token": token.text });
        let call = app.call(&app.admin.token, VERIFY, message);
        call.await.ok()
    };
    ask().await;
    let reads = || app.app.credential_lookups().1;
    let before = reads();
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(ask().await["valid"], true);
    app.app.flush_uses(Flush::Now).await.unwrap();
    assert_ne!(stored(&app.sql(), &token), (None, None));
    let told = ask().await;
    assert_eq!(told["valid"], true);
    assert_eq!(
        told["token"].get("lastUse"),
        None,
        "a cached credential has no current last use"
    );
    assert_eq!(reads(), before);
    let delete = json!({ "tokenId": token.id });
    let deleted = app.call(&app.admin.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    assert_eq!(ask().await["reason"], "TOKEN_DELETED");
    assert!(reads() > before);
}

#[tokio::test]
async fn refused_request_is_not_a_use() {
    let app = TestApp::start().await;
    let limits = json!({ "scopes": ["deploy"], "allowedCidrs": ["10.0.0.0/8"] });
    let limited = app.sign_in(&app.admin, limits).await;
    assert!(!app.accepts(&limited.text).await, "not from this address");
    let ask = |ip: &str, scope: &str| json!({ "token": limited.text, "clientIp": ip, "requiredScopes": [scope] });
    assert!(!verify(&app, ask("192.0.2.1", "deploy")).await);
    assert!(!verify(&app, ask("10.0.0.1", "release")).await);
    app.app.flush_uses(Flush::Now).await.unwrap();
    assert_eq!(stored(&app.sql(), &limited), (None, None));
    // The control.
    assert!(verify(&app, ask("10.0.0.1", "deploy")).await);
    app.app.flush_uses(Flush::Now).await.unwrap();
    assert_ne!(stored(&app.sql(), &limited), (None, None));
}

#[tokio::test]
async fn clock_set_back_neither_stops_the_job_nor_reverts_a_use() {
    let app = TestApp::start().await;
    let early = app.sign_in(&app.admin, json!({})).await;
    let late = app.sign_in(&app.admin, json!({})).await;
    app.clock.advance(MINUTE);
    assert!(app.accepts(&early.text).await);
    app.clock.advance(MINUTE);
    written(&app, &early).await;

    let hour = Duration::from_hours(1);
    let back = START.minus(hour);
    app.clock.set(back);
    assert!(app.accepts(&early.text).await && app.accepts(&late.text).await);
    app.clock.advance(MINUTE);
    written(&app, &late).await;
    let first = START.plus(MINUTE).as_micros();
    assert_eq!(
        stored(&app.sql(), &early).0,
        Some(first),
        "a last use only moves forward"
    );
    assert_eq!(stored(&app.sql(), &late).0, Some(back.as_micros()));

    app.clock.set(START.plus(hour));
    assert!(app.accepts(&early.text).await);
    app.app.flush_uses(Flush::Now).await.unwrap();
    let again = START.plus(hour).as_micros();
    assert_eq!(stored(&app.sql(), &early).0, Some(again));
}

#[tokio::test]
async fn uses_that_could_not_be_written_are_retried() {
    let app = TestApp::start().await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(app.sign_in(&app.admin, json!({})).await);
    }
    for token in &tokens {
        assert!(app.accepts(&token.text).await);
    }
    let plant = "CREATE TRIGGER planted BEFORE UPDATE OF last_use_time ON tokens \
                 BEGIN SELECT RAISE(ABORT, 'planted'); END";
    app.sql().execute_batch(plant).unwrap();
    app.app.flush_uses(Flush::Now).await.unwrap_err();
    app.sql().execute_batch("DROP TRIGGER planted").unwrap();
    assert_eq!(stored(&app.sql(), &tokens[0]), (None, None));
    // A deleted token does not block the others.
    app.sql()
        .execute("DELETE FROM tokens WHERE id = ?1", [&tokens[2].id])
        .unwrap();
    app.app.flush_uses(Flush::Now).await.unwrap();
    for token in &tokens[..2] {
        assert_eq!(stored(&app.sql(), token).0, Some(START.as_micros()));
    }
}

#[tokio::test]
async fn shutdown_writes_pending_uses() {
    let app = TestApp::start().await;
    let token = app.sign_in(&app.admin, json!({})).await;
    assert!(app.accepts(&token.text).await);
    let stopped = app.stop().await;
    let stored = stored(&stopped.sql(), &token);
    assert_eq!(
        stored,
        (Some(START.as_micros()), Some("127.0.0.1".to_owned()))
    );
}

#[test]
fn sigterm_writes_last_uses_and_the_command_line_shows_them() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let token = sandbox.create_token("ci-bot", &[]);
    let id = token.split('_').nth(1).unwrap();
    let shown = |sandbox: &Sandbox| sandbox.json(&["token", "get", id])["token"].clone();
    let server = sandbox.serve(&[]);
    assert!(server.accepts(&token));
    assert_eq!(shown(&sandbox).get("lastUse"), None);
    let get = sandbox.print(&["token", "get", id]);
    assert!(get.contains("Last used:  never"), "{get}");
    server.stop();

    let last = shown(&sandbox)["lastUse"].clone();
    assert_eq!(last["ip"], "127.0.0.1", "{last}");
    assert!(last["time"].as_str().unwrap().ends_with('Z'), "{last}");
    let get = sandbox.print(&["token", "get", id]);
    assert!(get.contains(") from 127.0.0.1"), "{get}");
    let list = sandbox.print(&["token", "list", "ci-bot"]);
    assert!(list.contains("LAST USED"), "{list}");
    assert!(list.trim_end().ends_with("s ago"), "{list}");
    // Reading it was not a use.
    assert_eq!(shown(&sandbox)["lastUse"], last);
}
