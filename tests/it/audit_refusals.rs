//! Refused sign-ins are recorded in batches, without delaying the reply.

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{Call, Wire},
    test_app::TestApp,
};

async fn refused(app: &TestApp, token: &str, times: usize) {
    for _ in 0..times {
        assert!(!app.accepts(token).await);
    }
}

async fn wrong_password(app: &TestApp, name: &str, times: usize) {
    for _ in 0..times {
        let message = json!({ "username": name, "password": "wrong" });
        let answer = app.call("", "TokenService/CreateToken", message).await;
        assert!(answer.result.is_err());
    }
}

#[tokio::test]
async fn first_refusal_of_a_kind_is_a_row_and_the_rest_of_the_minute_a_count_per_reason() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let deleted = app.sign_in(&alice, json!({})).await;
    let delete = json!({ "tokenId": deleted.id });
    let answer = app.call(&alice.token, "TokenService/DeleteToken", delete);
    answer.await.ok();

    refused(&app, &deleted.text, 5).await;
    refused(&app, "nonsense", 7).await;
    refused(&app, "", 7).await;
    wrong_password(&app, "alice", 3).await;
    // The second of each is throttled: an unknown name has no known networks.
    wrong_password(&app, "nobody", 2).await;
    wrong_password(&app, "no-one", 2).await;
    wrong_password(&app, "alice", 2).await;
    wrong_password(&app, "alice", 4).await; // throttled

    let stopped = app.stop().await;
    let sql = stopped.sql();
    let mut select = sql
        .prepare(
            "SELECT action, outcome, target, count FROM audit WHERE outcome <> 'ok' \
             ORDER BY action, outcome, target, count",
        )
        .unwrap();
    let rows = select
        .query_map([], |row| {
            let text = |i| row.get::<_, String>(i);
            Ok((text(0)?, text(1)?, text(2)?, row.get::<_, i64>(3)?))
        })
        .unwrap();
    let rows: Vec<_> = rows.map(Result::unwrap).collect();
    // The other refusals with the same reason are counted in a row that names nobody.
    let (password, wrong) = ("authenticate.password", "CREDENTIALS_INVALID");
    let expected = [
        (password, wrong, "", 1),
        (password, wrong, "", 4 + 1),
        (password, wrong, &*alice.id, 1),
        (password, "SIGN_IN_THROTTLED", "", 1),
        (password, "SIGN_IN_THROTTLED", "", 1 + 4),
        ("authenticate.token", "TOKEN_DELETED", "", 4),
        ("authenticate.token", "TOKEN_DELETED", &*deleted.id, 1),
    ];
    let expected = expected.map(|(a, b, c, n)| (a.to_owned(), b.to_owned(), c.to_owned(), n));
    assert_eq!(rows, expected);
}

/// A row of a refused sign-in: (outcome, actor, kind of credential, credential, target, IP, count).
type Refused = (String, String, String, String, String, String, i64);

fn refused_rows(sql: &rusqlite::Connection) -> Vec<Refused> {
    let mut select = sql
        .prepare(
            "SELECT outcome, actor, credential_kind, credential_id, target, ip, count FROM audit \
             WHERE outcome <> 'ok' ORDER BY sequence",
        )
        .unwrap();
    let rows = select.query_map([], |row| {
        let text = |i| row.get::<_, String>(i);
        let count = row.get::<_, i64>(6)?;
        Ok((
            text(0)?,
            text(1)?,
            text(2)?,
            text(3)?,
            text(4)?,
            text(5)?,
            count,
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn wrong_old_passwords_are_recorded_with_the_caller() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for _ in 0..6 {
        let message =
            json!({ "oldPassword": "wrong", "newPassword": "another drowsy lantern hums" });
        let answer = app
            .call(&alice.token, "UserService/SetPassword", message)
            .await;
        assert!(answer.result.is_err());
    }
    let stopped = app.stop().await;
    let token = alice.token.split('_').nth(1).unwrap();
    let expected = |outcome: &str| {
        let id = alice.id.clone();
        let ip = "127.0.0.1".to_owned();
        let kind = "token".to_owned();
        (
            outcome.to_owned(),
            id.clone(),
            kind,
            token.to_owned(),
            id,
            ip,
            1,
        )
    };
    let rows = refused_rows(&stopped.sql());
    assert_eq!(rows[0], expected("CREDENTIALS_INVALID"));
    assert_eq!(rows[1], expected("SIGN_IN_THROTTLED"));
    assert_eq!(rows[2].6, 4, "the others are counted");
    assert_eq!(rows.len(), 3);
}

/// 299 ended tokens of a member, and four guesses at the admin's password from another network.
#[tokio::test]
async fn ended_tokens_do_not_hide_password_guesses() {
    let app = TestApp::start_with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mallory = app.person("mallory").await;
    let mut dead = Vec::new();
    for _ in 0..299 {
        dead.push(app.child(&mallory.token, json!({})).await);
    }
    let ids: Vec<_> = dead.iter().map(|token| token.id.clone()).collect();
    for chunk in ids.chunks(100) {
        for id in chunk {
            let delete = json!({ "tokenId": id });
            app.call(&mallory.token, "TokenService/DeleteToken", delete)
                .await
                .ok();
        }
    }
    for token in &dead {
        let call = Call::new("AuthnService/GetCurrentUser", json!({}))
            .bearer(&token.text)
            .header("x-forwarded-for", "203.0.113.9");
        assert!(app.client.call(Wire::CURL, call).await.result.is_err());
    }
    for _ in 0..4 {
        let message = json!({ "username": "admin", "password": "wrong" });
        let call = Call::new("TokenService/CreateToken", message)
            .header("x-forwarded-for", "198.51.100.7");
        assert!(app.client.call(Wire::CURL, call).await.result.is_err());
        app.clock.advance(Duration::from_secs(1));
    }
    let admin = app.admin.id.clone();
    let stopped = app.stop().await;
    let rows = refused_rows(&stopped.sql());
    let of_admin: Vec<_> = rows.iter().filter(|row| row.4 == admin).collect();
    assert_eq!(of_admin.len(), 1);
    assert_eq!((&*of_admin[0].5, of_admin[0].6), ("198.51.100.7", 1));
    let counts = rows.iter().filter(|row| row.0 == "CREDENTIALS_INVALID");
    let [rest] = counts.filter(|row| row.4.is_empty()).collect::<Vec<_>>()[..] else {
        panic!("{rows:?}");
    };
    assert_eq!((&*rest.5, rest.6), ("", 3), "a count without an address");
    assert!(
        rows.iter()
            .all(|row| row.0 != "CREDENTIALS_INVALID" || row.5 != "203.0.113.9")
    );
}

#[tokio::test]
async fn refusals_do_not_wait_for_a_store_that_cannot_be_written() {
    let app = TestApp::start_with(|settings| settings.busy_timeout = Duration::from_mins(5)).await;
    let alice = app.person("alice").await;
    let sql = app.sql();
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answers = async {
        wrong_password(&app, "alice", 1).await;
        let mut wrong = alice.token.clone();
        wrong.replace_range(10..12, "00");
        refused(&app, &wrong, 2).await;
    };
    let answered = tokio::time::timeout(Duration::from_secs(20), answers).await;
    answered.expect("the reply does not wait for the store");
    sql.execute_batch("ROLLBACK").unwrap();
}
