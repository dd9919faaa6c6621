//! Runs the cases: sends each request, records the result, and checks that a refused one changed nothing.

use std::fmt::Write;

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};

use crate::client::{Call, Procedure, Reply, Wire};

use super::{
    callers::{Caller, TargetUser},
    fixture::{Fixture, Target},
    table::Rule,
};

/// The result of a case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) line: &'static Rule,
    pub(super) caller: String,
    pub(super) target: Target,
    pub(super) expected: String,
    pub(super) got: String,
    /// The undecoded refusal without the request's ID.
    pub(super) raw: Option<String>,
}

/// A snapshot of users and tokens that can be restored.
#[derive(Debug)]
pub(super) struct Snapshot(Connection);

const STATE: &str = "SELECT (SELECT json_group_array(json_array(id, username, role, owner_id, description, \
     password_hash, update_time, deactivated, delete_time)) FROM users) \
     || (SELECT json_group_array(json_array(id, user_id, hex(hash), note, expire_time, scopes, allowed_cidrs, \
     disabled, delete_time)) FROM tokens)";

impl Snapshot {
    pub(super) fn new(fixture: &Fixture) -> Self {
        let sql = fixture.app.sql();
        let copy = "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; \
                    CREATE TEMP TABLE old_users AS SELECT * FROM users; \
                    CREATE TEMP TABLE old_tokens AS SELECT * FROM tokens;";
        sql.execute_batch(copy).unwrap();
        Self(sql)
    }

    fn head(&self) -> i64 {
        let last = "SELECT max(sequence) FROM audit";
        self.0.query_one(last, [], |row| row.get(0)).unwrap()
    }

    /// The action in the caller's first audit row after `head`.
    fn recorded(&self, head: i64, caller: &Caller) -> Option<String> {
        let sql = "SELECT action FROM audit WHERE sequence > ?1 AND actor = ?2 AND outcome = 'ok' \
                   ORDER BY sequence LIMIT 1";
        let params = (head, &caller.who.oneself.id);
        let found = self.0.query_one(sql, params, |row| row.get(0));
        found.optional().unwrap()
    }

    pub(super) fn state(&self) -> String {
        self.0.query_one(STATE, [], |row| row.get(0)).unwrap()
    }

    pub(super) fn undo(&self) {
        let back = "BEGIN IMMEDIATE; DELETE FROM tokens; DELETE FROM users; \
                    INSERT INTO users SELECT * FROM old_users; \
                    INSERT INTO tokens SELECT * FROM old_tokens; COMMIT;";
        self.0.execute_batch(back).unwrap();
    }
}

impl Fixture {
    /// Runs every case of `rule` by `caller`.
    pub(super) async fn run(
        &self,
        undo: &Snapshot,
        wire: Wire,
        line: &'static Rule,
        caller: &Caller,
    ) -> Vec<Case> {
        let mut cases = Vec::new();
        if caller.by_password && line.method() != "CreateToken" {
            return cases;
        }
        let before = line.changes.then(|| undo.state());
        for target in line.targets() {
            let message = request(line, &self.named(caller, target), caller, self);
            let call = Call::new(line.procedure, message);
            let call = if caller.token.is_empty() {
                call
            } else {
                call.bearer(&caller.token)
            };
            let head = undo.head();
            let answer = self.app.client.call(wire, call).await;
            let (got, raw) = outcome(line, answer);
            let changed = before
                .as_ref()
                .is_some_and(|before| *before != undo.state());
            let (mut got, mut expected) = (got, line.expected(caller, target));
            if got.starts_with("ok") && expected.starts_with("ok") {
                write!(got, " {:?}", undo.recorded(head, caller)).unwrap();
                let recorded = line.recorded(caller, target, changed);
                write!(expected, " {recorded:?}").unwrap();
            }
            if changed {
                assert!(
                    got.starts_with("ok"),
                    "{} {} by {} to {target:?} was refused and changed something",
                    line.procedure,
                    line.variant,
                    caller.name
                );
                undo.undo();
            }
            cases.push(Case {
                line,
                caller: caller.name.clone(),
                target,
                expected,
                got,
                raw,
            });
        }
        cases
    }
}

fn outcome(line: &Rule, answer: Reply) -> (String, Option<String>) {
    let id = answer.request_id();
    match answer.result.clone() {
        Ok(message) => {
            let seen = match line.method() {
                "ListUsers" => Some(message["users"].as_array().unwrap().len()),
                "CountUsers" => message["totalCount"]
                    .as_u64()
                    .map(|n| usize::try_from(n).unwrap()),
                // Nothing, the policies, or the counts, too.
                "GetServerStatus" => Some(
                    ["policies", "counts"]
                        .iter()
                        .filter(|told| message[**told].is_object())
                        .count(),
                ),
                _ => None,
            };
            (
                seen.map_or("ok".to_owned(), |seen| format!("ok {seen}")),
                None,
            )
        }
        Err(failure) => {
            let got = format!("{} {}", failure.code, failure.reason());
            let (status, headers, body) = answer.raw_refusal();
            let body = String::from_utf8_lossy(&body).replace(&id, "ID");
            (
                got,
                Some(format!("{status} {headers:?} {body} {failure:?}")),
            )
        }
    }
}

/// Names the target in the request's fields, and adds the other required fields.
fn request(line: &Rule, target: &TargetUser, caller: &Caller, fixture: &Fixture) -> Value {
    let TargetUser { id, name, token_id } = target;
    let mut message = Procedure::find(line.procedure).naming(id, name, token_id);
    let more = match (line.method(), line.variant) {
        ("UpdateToken", _) => json!({ "note": "seen" }),
        ("CreateToken", _) if caller.by_password => json!({
            "username": caller.who.oneself.name,
            "password": caller.who.password,
        }),
        ("CreateToken", _) => json!({ "username": "" }),
        ("CreateUser", "person") => {
            json!({ "username": "newcomer", "password": "seven drowsy lanterns hum" })
        }
        ("CreateUser", "machine") => {
            json!({ "username": "newcomer", "userType": "USER_TYPE_MACHINE" })
        }
        ("CreateUser", _) => json!({
            "username": "newcomer",
            "userType": "USER_TYPE_MACHINE",
            "role": "SERVER_ROLE_ADMIN",
        }),
        ("UpdateUserSettings", _) => json!({ "description": "seen" }),
        ("UpdateUserServerRole", _) => json!({ "serverRole": 2 }),
        ("SetOwner", _) => json!({ "ownerId": fixture.app.admin.id }),
        ("SetPassword", _) => json!({
            "oldPassword": caller.who.password,
            "newPassword": "a password that is long enough",
        }),
        ("VerifyToken", _) => json!({ "token": fixture.app.admin.token }),
        ("RevokeTokens", _) => json!({ "filter": { "userId": id } }),
        ("RevokeLeakedTokens", _) => json!({ "tokens": [fixture.leaked.as_leaked()] }),
        _ => json!({}),
    };
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    message
}
