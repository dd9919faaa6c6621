//! Databases of every schema that main ever had, made by the Hallpass of that time (fixtures/make.py), are migrated with
//! all that they hold. What must not be migrated is refused untouched.

pub(crate) mod fixture;
mod kill;
mod refusals;
mod serve;

use std::time::Duration;

use hallpass::domain::{audit::ChainHead, time::Timestamp};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::test_app::{TestApp, verify_audit};
use fixture::{CURRENT, Fixture, contents, migrate, migrated, open, schema};

/// What the old Hallpass said of the database.
struct Described<'a>(&'a Value);

impl Described<'_> {
    fn tokens(&self) -> &[Value] {
        self.0["tokens"].as_array().unwrap()
    }

    fn text(&self, name: &str) -> &str {
        let mut tokens = self.tokens().iter();
        let token = tokens.find(|token| token["name"] == name).unwrap();
        token["text"].as_str().unwrap()
    }

    /// A little later.
    fn time(&self) -> Timestamp {
        let time = humantime::parse_rfc3339(self.0["time"].as_str().unwrap()).unwrap();
        Timestamp::from(time).plus(Duration::from_secs(2))
    }
}

/// Asserts that `new` has everything that `old` has.
fn includes(new: &Value, old: &Value, except: &[&str], what: &str) {
    for (key, value) in old.as_object().unwrap() {
        if !except.contains(&key.as_str()) {
            assert_eq!(&new[key], value, "{what}: {key}");
        }
    }
}

#[test]
fn every_schema_becomes_that_of_a_new_database_and_keeps_every_row() {
    let fresh = TempDir::new().unwrap();
    assert_eq!(migrate(&fresh, &["--json"]).0, 0);
    let fresh = schema(&open(&fresh));
    for fixture in Fixture::all() {
        let folder = fixture.restore();
        let before = contents(&open(&folder), None);
        let head = ChainHead::parse(fixture.described["auditHead"].as_str().unwrap()).unwrap();
        let (code, output) = migrate(&folder, &["--json"]);
        assert_eq!(code, 0, "{output}");
        let output: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(output["fromSchema"], fixture.schema, "{output}");
        assert_eq!(output["toSchema"], CURRENT, "{output}");
        let steps = output["migrations"].as_array().unwrap().len();
        assert_eq!(i64::try_from(steps).unwrap(), CURRENT - fixture.schema);

        let sql = open(&folder);
        assert_eq!(schema(&sql), fresh, "schema {}", fixture.schema);
        let check = |pragma: &str| -> Vec<String> {
            let mut statement = sql.prepare(pragma).unwrap();
            let rows = statement.query_map((), |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        assert_eq!(check("PRAGMA integrity_check"), ["ok"]);
        assert_eq!(check("PRAGMA foreign_key_check"), [""; 0]);
        assert_eq!(
            contents(&sql, Some(&before)),
            before,
            "schema {}",
            fixture.schema
        );
        let verdict = verify_audit(&sql, Some(head)).unwrap();
        assert!(verdict.breaks.is_empty(), "{verdict:?}");
        let last = "SELECT sequence, action, actor, user_agent FROM audit ORDER BY sequence DESC";
        let last = sql.query_row(last, (), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let last: (i64, String, String, String) = last.unwrap();
        let actor = format!("local:{}", rustix::process::getuid().as_raw());
        let agent = format!("hallpass/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            last,
            (head.sequence + 1, "data.migrate".to_owned(), actor, agent)
        );

        // Another migration has nothing to do.
        let all = contents(&sql, None);
        drop(sql);
        let (code, output) = migrate(&folder, &[]);
        assert!(
            code == 0 && output.starts_with("nothing to do: "),
            "{output}"
        );
        assert_eq!(contents(&open(&folder), None), all);
    }
}

#[tokio::test]
async fn migrated_database_says_the_same_as_before() {
    for fixture in Fixture::all() {
        let described = Described(&fixture.described);
        let folder = fixture.restore();
        migrated(&folder);
        let app = TestApp::on(folder, described.time(), described.text("admin")).await;
        let admin = &app.admin.token;
        let mut valid = 0;
        for token in described.tokens() {
            let what = format!("schema {}: {}", fixture.schema, token["name"]);
            let text = token["text"].as_str().unwrap();
            if token["metadata"].is_object() {
                let id = json!({ "tokenId": token["metadata"]["id"] });
                let reply = app.call(admin, "TokenService/GetToken", id).await.ok();
                includes(&reply["token"], &token["metadata"], &["lastUse"], &what);
            }
            assert_eq!(json!(app.accepts(text).await), token["valid"], "{what}");
            valid += u32::from(token["valid"] == true);
        }
        assert!(valid > 30, "{valid}");
        for user in described.0["users"].as_array().unwrap() {
            let id = json!({ "id": user["id"] });
            let reply = app.call(admin, "UserService/GetUser", id).await.ok();
            includes(
                &reply["user"],
                user,
                &[],
                &format!("schema {}", fixture.schema),
            );
        }
        // A page token that the old server gave out.
        let page = &described.0["page"];
        let list = app.call(admin, "TokenService/ListTokens", page["request"].clone());
        let reply = list.await.ok();
        let listed = reply["tokens"].as_array().unwrap();
        let ids: Vec<_> = listed.iter().map(|token| token["id"].clone()).collect();
        assert_eq!(json!(ids), page["ids"]);
        // People still know their passwords, and a full use of the API works.
        let sign_in = json!({ "username": "bob", "password": "a long password of the tests" });
        let signed_in = app.call("", "TokenService/CreateToken", sign_in).await.ok();
        let bob = signed_in["token"].as_str().unwrap();
        let check = app
            .call(bob, "AdminService/CheckData", json!({}))
            .await
            .ok();
        assert_eq!(check, json!([]), "schema {}", fixture.schema);
    }
}

/// A token that an admin disabled, when nothing stored who did, is still only for admins to enable.
#[tokio::test]
async fn who_disabled_a_token_is_known_after_the_migration() {
    for fixture in Fixture::all()
        .into_iter()
        .filter(|fixture| fixture.schema > 1)
    {
        let described = Described(&fixture.described);
        let folder = fixture.restore();
        migrated(&folder);
        let app = TestApp::on(folder, described.time(), described.text("admin")).await;
        let alice = described.text("alice").to_owned();
        let enable = async |name: &str| {
            let token = described
                .tokens()
                .iter()
                .find(|token| token["name"] == name);
            let id = &token.unwrap()["metadata"]["id"];
            let enable = json!({ "tokenId": id, "disabled": false });
            app.call(&alice, "TokenService/UpdateToken", enable).await
        };
        enable("disabled by its owner").await.ok();
        let reply = enable("disabled by an admin").await;
        assert!(reply.result.is_err(), "schema {}", fixture.schema);
    }
}

/// What an old server left when it was killed: its last commits are only in the log.
#[test]
fn log_of_a_killed_server_is_migrated_too() {
    let fixture = &Fixture::all()[0];
    let (restored, folder) = (fixture.restore(), TempDir::new().unwrap());
    let writer = open(&restored);
    let change = "UPDATE users SET description = 'only in the log' WHERE username = 'alice'";
    writer.execute_batch(change).unwrap();
    for name in ["hallpass.db", "hallpass.db-wal"] {
        let (from, to) = (restored.path().join(name), folder.path().join(name));
        std::fs::copy(from, to).unwrap();
    }
    let before = contents(&writer, None);
    let (code, output) = migrate(&folder, &["--dry-run"]);
    assert!(code == 0 && output.contains("has schema 1, "), "{output}");
    migrated(&folder);
    let sql = open(&folder);
    assert_eq!(contents(&sql, Some(&before)), before);
    assert!(
        contents(&sql, None)["users"]
            .concat()
            .contains("only in the log")
    );
}

/// The control of the comparison: a migration that loses a row, a value or an index is seen.
#[test]
fn comparison_sees_what_a_migration_could_lose() {
    let fixture = &Fixture::all()[0];
    let folder = fixture.restore();
    let (before, indices) = (contents(&open(&folder), None), schema(&open(&folder)));
    for harm in [
        "DELETE FROM tokens WHERE note = 'plain'",
        "UPDATE tokens SET delete_time = NULL WHERE note = 'revoked'",
        "UPDATE audit SET actor = '' WHERE sequence = 2",
        "DELETE FROM meta",
    ] {
        let sql: Connection = open(&folder);
        sql.execute_batch(&format!("BEGIN; {harm}")).unwrap();
        assert_ne!(contents(&sql, Some(&before)), before, "{harm}");
    }
    let sql = open(&folder);
    sql.execute_batch("BEGIN; DROP INDEX tokens_listed")
        .unwrap();
    assert_ne!(schema(&sql), indices);
}
