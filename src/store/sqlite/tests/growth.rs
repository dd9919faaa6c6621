//! The cost of a statement, in steps of `SQLite`'s virtual machine, does not grow with ended or unrelated rows.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{
    super::{in_memory, transaction},
    audit_statements,
    plans::*,
};
use crate::{
    domain::{id::UserId, token::Token},
    store::{
        tests::samples::{NOW, hash, person, token},
        tokens, users,
    },
};

/// How much more a statement may cost with ten times as many dead rows: a scan that stops after a fixed number of
/// rows meets different ones.
const GROWTH: i64 = 2;
const SLACK: i64 = 200;

/// A user with some live tokens, the first of which has live children and a live family, among `dead` rows of each
/// kind: expired and deleted tokens of the user, parent and family; live tokens of another user; deleted and
/// deactivated users; audit rows that no search matches.
struct Fixture {
    connection: Connection,
    alice: UserId,
    first: Token,
}

impl Fixture {
    fn new(dead: u32) -> Self {
        let connection = in_memory();
        let (alice, bob) = (person("alice"), person("bob"));
        let first = token(&alice);
        {
            let tx = transaction(&connection);
            for user in [&alice, &bob] {
                users::insert(&tx, user, Some("hash")).unwrap();
            }
            tokens::insert(&tx, &first, &hash(&first)).unwrap();
            for _ in 0..5 {
                let child = Token {
                    parent_id: Some(first.id),
                    ..token(&alice)
                };
                let member = Token {
                    family_id: first.id,
                    ..token(&alice)
                };
                for token in [&token(&alice), &child, &member] {
                    tokens::insert(&tx, token, &hash(token)).unwrap();
                }
            }
        }
        connection.execute_batch("COMMIT").unwrap();
        let this = Self {
            connection,
            alice: alice.id,
            first,
        };
        let past = NOW.as_micros() - 1;
        let (expired, deleted) = (past.to_string(), ("NULL", past.to_string()));
        let id = format!("'{}'", this.first.id);
        for (kind, (expire_time, delete_time)) in [(&*expired, "NULL"), (deleted.0, &*deleted.1)]
            .into_iter()
            .enumerate()
        {
            let kind = kind * 4;
            this.plant(dead, kind, alice.id, expire_time, delete_time, "NULL", "id");
            this.plant(
                dead,
                kind + 1,
                alice.id,
                expire_time,
                delete_time,
                &id,
                "id",
            );
            this.plant(
                dead,
                kind + 2,
                alice.id,
                expire_time,
                delete_time,
                "NULL",
                &id,
            );
        }
        audit_statements::plant(&this.connection, dead, alice.id, this.first.id);
        this.plant(dead, 9, bob.id, "NULL", "NULL", "NULL", "id");
        for (prefix, deactivated, delete_time) in [("1", 0, "1"), ("2", 1, "NULL")] {
            let sql = format!(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {dead}) \
                 INSERT INTO users (id, username, user_type, role, description, create_time, update_time, \
                 deactivated, delete_time) \
                 SELECT printf('{prefix}%021d', n), 'user' || '{prefix}-' || n, 'person', 'admin', '', n, n, \
                 {deactivated}, {delete_time} FROM n"
            );
            this.connection.execute_batch(&sql).unwrap();
        }
        this
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a row")]
    fn plant(
        &self,
        count: u32,
        kind: usize,
        user: UserId,
        expire_time: &str,
        delete_time: &str,
        parent: &str,
        family: &str,
    ) {
        // Older and newer than the live ones, so that a scan in either direction would pass over them.
        let sql = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {count}), \
             r AS (SELECT n, CASE n % 2 WHEN 0 THEN '0' ELSE '7' END || printf('{kind}%020d', n) AS id FROM n) \
             INSERT INTO tokens (id, user_id, hash, note, create_time, expire_time, scopes, allowed_cidrs, \
             disabled, parent_id, family_id, delete_time) \
             SELECT id, '{user}', zeroblob(32), '', CASE n % 2 WHEN 0 THEN n ELSE {now} + n END, \
             {expire_time}, '', '', 0, {parent}, {family}, {delete_time} FROM r",
            now = NOW.as_micros()
        );
        self.connection.execute_batch(&sql).unwrap();
    }

    /// The number of steps of each statement.
    fn steps(&self) -> BTreeMap<String, i64> {
        let tx = transaction(&self.connection);
        SEEN.take();
        read_all(&tx, self.alice, self.first.id);
        write_all(&tx, self.alice, &self.first);
        SEEN.take()
    }
}

/// Deactivated users are not dead rows to a count that includes them.
fn counts_deactivated(sql: &str) -> bool {
    sql.contains("count(*) FROM users") && sql.contains("deactivated = 1")
}

#[test]
fn no_statement_costs_more_with_more_ended_or_unrelated_rows() {
    let few = Fixture::new(2_000).steps();
    let many = Fixture::new(20_000).steps();
    assert!(few.len() > 250, "{} statements", few.len());
    assert!(few.keys().eq(many.keys()));
    let grown: Vec<_> = few
        .iter()
        .filter(|(sql, _)| !counts_deactivated(sql))
        .map(|(sql, few)| (few, many[sql], sql))
        .filter(|(few, many, _)| *many > *few * GROWTH + SLACK)
        .collect();
    assert!(grown.is_empty(), "{grown:#?}");
}

#[test]
fn growing_costs_are_detected() {
    let sql = "SELECT count(*) FROM tokens WHERE user_id = ?1 AND delete_time IS NULL \
               AND (expire_time IS NULL OR expire_time > ?2)";
    let [few, many] = [2_000, 20_000].map(|dead| {
        let fixture = Fixture::new(dead);
        let tx = transaction(&fixture.connection);
        SEEN.take();
        tx.number(sql, &[fixture.alice.into(), NOW.into()]).unwrap();
        SEEN.take()[sql]
    });
    assert!(many > few * GROWTH + SLACK, "{few} {many}");
}
