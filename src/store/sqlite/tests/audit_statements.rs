//! Statements that search the audit log.

use std::time::Duration;

use rusqlite::Connection;

use crate::{
    domain::{
        id::{TokenId, UserId},
        page::Position,
    },
    store::{
        Tx,
        audit_search::{self, Actor, AuditFilter},
        tests::samples::NOW,
    },
};

/// Every combination of filter fields.
fn filters(user: UserId, id: TokenId) -> impl Iterator<Item = AuditFilter> {
    (0..3 * 2 * 2 * 3 * 2 * 2_usize).map(move |mut number| {
        let mut choose = |count| {
            let choice = number % count;
            number /= count;
            choice
        };
        AuditFilter {
            actor: [None, Some(Actor::Is(user.to_string())), Some(Actor::Local)][choose(3)].clone(),
            credential: [None, Some(id)][choose(2)],
            target: [None, Some(id.to_string())][choose(2)].clone(),
            actions: [
                vec![],
                vec!["token.create"],
                vec!["token.create", "token.delete"],
            ][choose(3)]
            .clone(),
            from: [None, Some(NOW)][choose(2)],
            before: [None, Some(NOW.plus(Duration::from_hours(1)))][choose(2)],
        }
    })
}

/// Runs all of these searches.
pub(super) fn search_all(tx: &Tx<'_>, user: UserId, id: TokenId) {
    let after = Some(Position {
        major: NOW.as_micros(),
        minor: 1,
    });
    for filter in filters(user, id) {
        for reverse in [false, true] {
            audit_search::search(tx, &filter, after, reverse, 50).unwrap();
        }
    }
}

/// Inserts `count` rows of each kind that satisfy a single field of the filter, before and after its time range.
pub(super) fn plant(connection: &Connection, count: u32, user: UserId, id: TokenId) {
    let (user, id) = (format!("'{user}'"), format!("'{id}'"));
    for (kind, (actor, credential, target, action)) in [
        (&*user, "''", "n", "'user.get'"),
        ("'local:0'", "''", "n", "'user.get'"),
        ("'local:1000'", "''", "n", "'user.get'"),
        ("n", &*id, "n", "'user.get'"),
        ("n", "''", &*id, "'user.get'"),
        ("n", "''", "n", "'token.create'"),
        ("n", "''", "n", "'token.delete'"),
        ("n", "''", "n", "'user.get'"),
    ]
    .into_iter()
    .enumerate()
    {
        let sql = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {count}) \
             INSERT INTO audit (sequence, time, actor, credential_id, target, action, outcome, count, \
             request_id, client_request_id, ip, user_agent, hash) \
             SELECT n * 10 + {kind}, {now} + (n % 2 * 2 - 1) * (n * 10 + {kind}), {actor}, {credential}, {target}, {action}, '', 1, \
             '', '', '', '', zeroblob(32) FROM n",
            now = NOW.as_micros()
        );
        connection.execute_batch(&sql).unwrap();
    }
}
