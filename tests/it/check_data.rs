//! `CheckData`: checks the database while it is in use.

use serde_json::{Value, json};

use crate::{
    client::{Call, Codec, Protocol, Wire},
    test_app::TestApp,
};

const CHECK: &str = "AdminService/CheckData";

const WIRES: [Wire; 4] = [
    Wire::CURL,
    Wire::new(Protocol::Connect, Codec::Proto),
    Wire::new(Protocol::Grpc, Codec::Proto),
    Wire::new(Protocol::GrpcWeb, Codec::Proto),
];

async fn check(app: &TestApp, wire: Wire) -> Value {
    let call = Call::new(CHECK, json!({})).bearer(&app.admin.token);
    app.client.call(wire, call).await.ok()
}

#[tokio::test]
async fn sound_database_has_no_findings_and_every_check_is_recorded() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    app.machine(&alice, "robot").await;
    for wire in WIRES {
        let before = app.audit_len();
        assert_eq!(check(&app, wire).await, json!([]), "{wire:?}");
        let last =
            "SELECT sequence, actor, action, outcome FROM audit ORDER BY sequence DESC LIMIT 1";
        let last = app.sql().query_one(last, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let last: (i64, String, String, String) = last.unwrap();
        let (action, ok) = ("data.check".to_owned(), "ok".to_owned());
        assert_eq!(last, (before + 1, app.admin.id.clone(), action, ok));
    }
}

#[tokio::test]
async fn each_kind_of_damage_has_its_own_message() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let sql = app.sql();
    let harm = "PRAGMA foreign_keys = OFF; DROP INDEX tokens_children; CREATE TABLE extra (a);";
    sql.execute_batch(harm).unwrap();
    let orphan = "UPDATE tokens SET user_id = 'nobody' WHERE id = ?1 RETURNING rowid";
    let row: i64 = sql
        .query_one(orphan, [&token.id], |row| row.get(0))
        .unwrap();
    let findings = [
        "the schema lacks index tokens_children".to_owned(),
        "the schema has table extra too many".to_owned(),
        format!("row {row} of tokens refers to a missing row of users"),
    ];
    let expected = findings.map(|finding| json!({ "finding": finding }));
    for wire in WIRES {
        assert_eq!(check(&app, wire).await, json!(expected), "{wire:?}");
    }
}
