//! Refused sign-ins: in the log, but in batches and off the way of the reply.

use std::time::Duration;

use serde_json::json;

use crate::test_app::TestApp;

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
async fn first_of_a_kind_is_a_row_and_the_rest_of_the_minute_one_with_their_number() {
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
    let expected = [
        ("authenticate.password", "CREDENTIALS_INVALID", "", 1),
        ("authenticate.password", "CREDENTIALS_INVALID", "", 3),
        (
            "authenticate.password",
            "CREDENTIALS_INVALID",
            &*alice.id,
            1,
        ),
        (
            "authenticate.password",
            "CREDENTIALS_INVALID",
            &*alice.id,
            4,
        ),
        ("authenticate.password", "SIGN_IN_THROTTLED", "", 1),
        ("authenticate.password", "SIGN_IN_THROTTLED", "", 3),
        ("authenticate.token", "TOKEN_DELETED", &*deleted.id, 1),
        ("authenticate.token", "TOKEN_DELETED", &*deleted.id, 4),
    ];
    let expected = expected.map(|(a, b, c, n)| (a.to_owned(), b.to_owned(), c.to_owned(), n));
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn refusals_are_answered_while_the_store_cannot_be_written() {
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
    answered.expect("off the way of the reply");
    sql.execute_batch("ROLLBACK").unwrap();
}
