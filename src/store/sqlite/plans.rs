//! Each statement of the tables' files is carried out by an index: no table is scanned, nothing is sorted.

use std::{cell::RefCell, collections::BTreeSet};

use rusqlite::Connection;

use super::{in_memory, transaction};
use crate::{
    domain::{
        id::{TokenId, UserId},
        page::Position,
        token::{LastUse, TokenState},
        user::Username,
    },
    store::{
        Tx, audit, meta,
        samples::{NOW, hash, machine, person, token},
        tokens::{self, StateFilter, TokenFilter},
        users::{self, KindFilter, UserFilter},
    },
};

thread_local! {
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Keeps a statement that a test of this thread ran.
pub(super) fn note(sql: &str) {
    SEEN.with_borrow_mut(|seen| seen.insert(sql.to_owned()));
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let count = statement.parameter_count();
    let params = rusqlite::params_from_iter((0..count).map(|_| 1));
    let rows = statement.query_map(params, |row| row.get(3)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// A count of what no key selects walks an index of just that; see the last test.
fn is_good(step: &str) -> bool {
    let walks = [
        "SCAN CONSTANT ROW",
        "SCAN users USING INDEX users_listed",
        "SCAN users USING INDEX users_admins",
    ];
    !step.contains("TEMP B-TREE") && (!step.starts_with("SCAN ") || walks.contains(&step))
}

/// How often the program of a statement reads a column of a table rather than of an index.
fn table_reads(connection: &Connection, sql: &str) -> usize {
    let mut statement = connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
    let count = statement.parameter_count();
    let params = rusqlite::params_from_iter((0..count).map(|_| 1));
    let rows = statement.query_map(params, |row| {
        let key: Option<String> = row.get::<_, Option<String>>(5)?;
        Ok((row.get::<_, String>(1)?, row.get::<_, i64>(2)?, key))
    });
    let steps: Vec<_> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let is_index = |cursor| {
        let mut opened = steps
            .iter()
            .filter(|(op, at, _)| op == "OpenRead" && *at == cursor);
        opened.all(|(_, _, key)| key.as_ref().is_some_and(|key| key.starts_with("k(")))
    };
    steps
        .iter()
        .filter(|(op, at, _)| op == "Column" && !is_index(*at))
        .count()
}

/// Each place to look at, with each condition, and with all of them.
fn filters(user: UserId, id: TokenId) -> Vec<TokenFilter> {
    let (time, scope) = (Some(NOW), Some("deploy".to_owned()));
    let none = TokenFilter::default;
    let states = [TokenState::Live, TokenState::Disabled, TokenState::Expired].map(StateFilter::Is);
    let mut conditions = vec![
        none(),
        TokenFilter {
            created_from: time,
            ..none()
        },
        TokenFilter {
            created_before: time,
            ..none()
        },
        TokenFilter {
            unused_since: time,
            ..none()
        },
        TokenFilter {
            expires_before: time,
            ..none()
        },
        TokenFilter {
            never_expires: true,
            ..none()
        },
        TokenFilter {
            scope: scope.clone(),
            ..none()
        },
        TokenFilter {
            except: vec![id, id],
            ..none()
        },
    ];
    conditions.extend(
        states
            .into_iter()
            .chain([StateFilter::NotExpired])
            .map(|state| TokenFilter { state, ..none() }),
    );
    conditions.push(TokenFilter {
        created_from: time,
        created_before: time,
        unused_since: time,
        expires_before: time,
        scope,
        state: StateFilter::NotExpired,
        except: vec![id],
        ..none()
    });
    let mut all = Vec::new();
    for condition in conditions {
        all.extend([
            condition.clone(),
            TokenFilter {
                user: Some(user),
                ..condition.clone()
            },
            TokenFilter {
                parent: Some(id),
                ..condition.clone()
            },
            TokenFilter {
                family: Some(id),
                ..condition.clone()
            },
            TokenFilter {
                user: Some(user),
                parent: Some(id),
                family: Some(id),
                ..condition
            },
        ]);
    }
    all
}

fn run_all(tx: &Tx<'_>) {
    let (alice, id) = (person("alice"), TokenId::generate(NOW));
    let bot = machine("bot", &alice);
    let first = token(&alice);
    users::insert(tx, &alice, Some("hash")).unwrap();
    users::insert(tx, &bot, None).unwrap();
    tokens::insert(tx, &first, &hash(&first)).unwrap();

    let name = Username::parse("nobody").unwrap();
    let user = UserId::generate(NOW);
    users::find(tx, user).unwrap();
    users::find_by_username(tx, &name).unwrap();
    users::username_taken(tx, &name).unwrap();
    users::find_sign_in(tx, &name).unwrap();
    users::password_hash(tx, user).unwrap();
    users::update(tx, &alice).unwrap();
    users::set_password_hash(tx, user, "hash", NOW).unwrap();
    users::mark_deleted(tx, user, NOW).unwrap();
    users::count_active_admins(tx).unwrap();
    users::count_machines(tx, user).unwrap();
    users::is_empty(tx).unwrap();
    let after = Some(Position { major: 0, minor: 0 });
    for visible_to in [None, Some(user)] {
        for deactivated in [None, Some(true), Some(false)] {
            for kind in [None, Some(KindFilter::People), Some(KindFilter::Machines)] {
                let filter = UserFilter {
                    visible_to,
                    deactivated,
                    kind,
                };
                users::count(tx, &filter).unwrap();
                for reverse in [false, true] {
                    users::list(tx, &filter, after, reverse, 50).unwrap();
                }
            }
        }
    }

    tokens::find(tx, id).unwrap();
    tokens::find_credential(tx, id).unwrap();
    tokens::count_live(tx, user, NOW).unwrap();
    tokens::count_live_children(tx, id, NOW).unwrap();
    tokens::update(tx, &first).unwrap();
    tokens::mark_rotated(tx, &first).unwrap();
    tokens::adopt_children(tx, id, first.id, NOW).unwrap();
    tokens::list_family(tx, id, 100).unwrap();
    tokens::count_live_family(tx, id, NOW).unwrap();
    let last_use = LastUse {
        time: NOW,
        ip: None,
    };
    tokens::note_uses(tx, &[(id, last_use)]).unwrap();
    tokens::mark_deleted(tx, id, NOW).unwrap();
    tokens::delete_live_children(tx, id, NOW).unwrap();
    tokens::delete_live_of_user(tx, user, NOW).unwrap();
    tokens::delete_family(tx, id, NOW, 100).unwrap();
    tokens::purge(tx, NOW, 100).unwrap();
    tokens::last_row(tx).unwrap();
    tokens::count_by_state(tx, NOW, 0, 10_000).unwrap();
    for filter in filters(user, id) {
        for reverse in [false, true] {
            tokens::search(tx, &filter, NOW, None, reverse, 50).unwrap();
            tokens::search(tx, &filter, NOW, after, reverse, 50).unwrap();
        }
        tokens::count(tx, &filter, NOW, after).unwrap();
        tokens::find_selected(tx, &filter, NOW, id).unwrap();
    }
    for reverse in [false, true] {
        tokens::list_live(tx, user, NOW, after, reverse, 50).unwrap();
        audit::list(tx, None, reverse, 50).unwrap();
    }
    audit::find(tx, 1).unwrap();
    audit::find_made(tx, id).unwrap();
    audit::head(tx).unwrap();
    meta::page_key(tx).unwrap();
}

#[test]
fn every_statement_is_carried_out_by_an_index() {
    let connection = in_memory();
    run_all(&transaction(&connection));
    let seen = SEEN.take();
    assert!(seen.len() > 250, "{} statements", seen.len());
    for sql in &seen {
        let steps = plan(&connection, sql);
        assert!(steps.iter().all(|step| is_good(step)), "{sql}\n{steps:#?}");
    }
}

#[test]
fn a_scan_would_be_seen() {
    let connection = in_memory();
    for sql in [
        "SELECT id FROM tokens WHERE note = ?1",
        "SELECT id FROM users ORDER BY update_time",
    ] {
        assert!(!plan(&connection, sql).iter().all(|step| is_good(step)));
    }
}

#[test]
fn a_list_starts_at_its_place_and_passes_over_expired_rows_in_the_index() {
    let connection = in_memory();
    let tx = transaction(&connection);
    tokens::list_live(&tx, UserId::generate(NOW), NOW, None, false, 50).unwrap();
    let sql = SEEN
        .take()
        .into_iter()
        .find(|sql| sql.contains("ORDER BY"))
        .unwrap();
    let steps = plan(&connection, &sql).join("\n");
    let start = "INDEX tokens_listed (user_id=? AND (create_time,id)>(?,?))";
    assert!(steps.contains(start), "{steps}");
    // create_time and id come from the index, too; what the row alone has is read for live rows only.
    let of_the_row = 14 - "id user_id create_time expire_time".split(' ').count();
    let reads = table_reads(&connection, &sql);
    assert!((of_the_row..=of_the_row + 1).contains(&reads), "{reads}");
}

#[test]
fn counts_read_nothing_but_an_index() {
    let connection = in_memory();
    let tx = transaction(&connection);
    tokens::count_live(&tx, UserId::generate(NOW), NOW).unwrap();
    tokens::count_live_children(&tx, TokenId::generate(NOW), NOW).unwrap();
    users::count_active_admins(&tx).unwrap();
    let filter = UserFilter {
        visible_to: None,
        deactivated: Some(true),
        kind: Some(KindFilter::People),
    };
    users::count(&tx, &filter).unwrap();
    for sql in SEEN.take() {
        assert_eq!(table_reads(&connection, &sql), 0, "{sql}");
    }
    // A count that needs the rows would be seen.
    let bad = "SELECT count(*) FROM tokens WHERE user_id = ?1 AND note = ?2";
    assert!(table_reads(&connection, bad) > 0);
}
