//! Every statement of the store uses an index: none scans a table, and none sorts anything but live tokens, which
//! quotas keep few. `growth.rs` tests that ended and unrelated rows do not raise the cost.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rusqlite::{Connection, Statement, StatementStatus, config::DbConfig};

use super::{
    super::{in_memory, transaction},
    audit_statements,
};
use crate::{
    domain::{
        id::{TokenId, UserId},
        page::Position,
        token::{LastUse, Token, TokenState},
        user::Username,
    },
    store::{
        Tx, audit, audit_search, known_networks, meta,
        tests::samples::{NOW, event, hash, machine, person, token},
        tokens::{self, StateFilter, TokenFilter},
        users::{self, KindFilter, UserFilter},
    },
};

thread_local! {
    pub(super) static SEEN: RefCell<BTreeMap<String, i64>> = const { RefCell::new(BTreeMap::new()) };
    pub(super) static RECOMPILED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    pub(super) static RUNS: Cell<usize> = const { Cell::new(0) };
}

/// Records a statement that a test on this thread ran, how many steps its program took, and whether it was
/// recompiled.
pub(in crate::store) fn note(sql: &str, statement: &Statement<'_>) {
    if statement.get_status(StatementStatus::RePrepare) > 0 {
        RECOMPILED.with_borrow_mut(|recompiled| recompiled.insert(sql.to_owned()));
    }
    let steps = statement.reset_status(StatementStatus::VmStep);
    SEEN.with_borrow_mut(|seen| *seen.entry(sql.to_owned()).or_default() += i64::from(steps));
    RUNS.set(RUNS.get() + 1);
}

/// How many statements `work` runs on this thread, and how many steps they take in total.
pub(crate) fn cost(work: impl FnOnce()) -> (usize, i64) {
    SEEN.take();
    RUNS.take();
    work();
    (RUNS.take(), SEEN.take().values().sum())
}

pub(super) fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let count = statement.parameter_count();
    let params = rusqlite::params_from_iter((0..count).map(|_| 1));
    let rows = statement.query_map(params, |row| row.get(3)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Only live tokens may be sorted. A `+` in the statement marks that as intended: see `tokens/live.rs`.
fn is_good(sql: &str, step: &str) -> bool {
    let sorts = step.contains("TEMP B-TREE");
    let sorts_few = step == "USE TEMP B-TREE FOR ORDER BY" && sql.contains("ORDER BY +");
    (!sorts || sorts_few) && (!step.starts_with("SCAN ") || step == "SCAN CONSTANT ROW")
}

/// How many times the program of a statement reads a column from a table instead of an index.
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

/// Each index with each condition, and with all of them.
fn filters(user: UserId, id: TokenId) -> Vec<TokenFilter> {
    let (time, scope) = (Some(NOW), Some("deploy".to_owned()));
    let none = TokenFilter::default;
    let states = [
        TokenState::Active,
        TokenState::Disabled,
        TokenState::Expired,
    ]
    .map(StateFilter::Is);
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
            expiring_before: Some(NOW.plus(Duration::from_hours(1))),
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
            .chain([StateFilter::Live])
            .map(|state| TokenFilter { state, ..none() }),
    );
    conditions.push(TokenFilter {
        created_from: time,
        created_before: time,
        unused_since: time,
        expires_before: time,
        scope,
        state: StateFilter::Live,
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

/// Runs all reads, for a user and one of its tokens that is a parent and the first of a family.
pub(super) fn read_all(tx: &Tx<'_>, user: UserId, id: TokenId) {
    let name = Username::parse("nobody").unwrap();
    users::find(tx, user).unwrap();
    users::find_by_username(tx, &name).unwrap();
    users::username_taken(tx, &name).unwrap();
    users::find_id(tx, &name).unwrap();
    users::find_sign_in(tx, &name).unwrap();
    users::password_hash(tx, user).unwrap();
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
    tokens::last_use_of_live(tx, user, NOW).unwrap();
    tokens::count_live_children(tx, id, NOW).unwrap();
    tokens::list_family(tx, id, 100).unwrap();
    tokens::count_live_family(tx, id, NOW).unwrap();
    tokens::last_row(tx).unwrap();
    tokens::count_by_state(tx, NOW, 0, 1_000).unwrap();
    tokens::find_users_over_limit(tx, None, NOW, 100, 1).unwrap();
    for filter in filters(user, id) {
        for reverse in [false, true] {
            tokens::search(tx, &filter, NOW, None, reverse, 50).unwrap();
            tokens::search(tx, &filter, NOW, after, reverse, 50).unwrap();
        }
        tokens::count(tx, &filter, NOW, after).unwrap();
        tokens::find_selected(tx, &filter, NOW, id).unwrap();
    }
    for (after, reverse) in [(None, false), (after, true)] {
        tokens::list_with_ended(tx, user, after, reverse, 50).unwrap();
    }
    for reverse in [false, true] {
        audit::list(tx, None, reverse, 50).unwrap();
    }
    audit::find(tx, 1).unwrap();
    audit::find_creation(tx, id, NOW.minus(Duration::from_hours(1))).unwrap();
    audit::is_target(tx, "nothing").unwrap();
    audit_statements::search_all(tx, user, id);
    audit::head(tx).unwrap();
    audit::first(tx).unwrap();
    audit::newest_time(tx).unwrap();
    meta::page_key(tx).unwrap();
    meta::purge_time(tx).unwrap();
    meta::audit_purge_time(tx).unwrap();
    meta::sink_position(tx, "stdout").unwrap();
    audit_search::first_since(tx, NOW).unwrap();
    let rows = audit::list(tx, None, true, 50).unwrap();
    audit::link(tx, rows).unwrap();
    audit::find_old(tx, NOW, i64::MAX, 100).unwrap();
    meta::bootstrap_token(tx).unwrap();
}

/// Runs all writes likewise, and deletes the user at the end.
pub(super) fn write_all(tx: &Tx<'_>, user: UserId, first: &Token) {
    let id = first.id;
    let new = person("new");
    users::insert(tx, &new, Some("hash")).unwrap();
    users::insert(tx, &machine("bot", &new), None).unwrap();
    users::update(tx, &new).unwrap();
    users::set_password_hash(tx, user, "hash", NOW).unwrap();
    let (mine, heir) = (token(&new), token(&new));
    let child = Token {
        parent_id: Some(mine.id),
        ..token(&new)
    };
    for token in [&mine, &heir, &child] {
        tokens::insert(tx, token, &hash(token)).unwrap();
    }
    tokens::find_credential(tx, child.id).unwrap();
    tokens::update(tx, &mine).unwrap();
    tokens::mark_rotated(tx, &mine).unwrap();
    let last_use = LastUse::seen(NOW, None);
    tokens::record_uses(tx, &[(id, last_use)]).unwrap();
    tokens::move_live_children(tx, id, heir.id, NOW).unwrap();
    tokens::move_live_children(tx, heir.id, id, NOW).unwrap();
    tokens::revoke_live_children(tx, id, NOW).unwrap();
    tokens::revoke_family(tx, id, &[], NOW, 100).unwrap();
    tokens::disable_family(tx, id, NOW).unwrap();
    tokens::mark_revoked(tx, id, NOW).unwrap();
    tokens::revoke_live_of_user(tx, user, NOW).unwrap();
    users::mark_deleted(tx, user, NOW).unwrap();
    tokens::purge_ended(tx, user, NOW, 100, 100).unwrap();
    tokens::purge(tx, NOW, 100).unwrap();
    audit::append(tx, event("planted")).unwrap();
    meta::set_purge_time(tx, NOW).unwrap();
    meta::set_audit_purge_time(tx, NOW).unwrap();
    meta::set_sink_position(tx, "stdout", audit::head(tx).unwrap()).unwrap();
    let network = "192.0.2.0/24".parse().unwrap();
    known_networks::record(tx, user, network, NOW).unwrap();
    known_networks::list(tx, NOW, 100).unwrap();
    known_networks::purge(tx, NOW).unwrap();
    known_networks::delete_of_user(tx, user).unwrap();
    audit::list_all(tx, None, 100).unwrap();
    audit::remove_old(tx, 0).unwrap();
}

/// Runs all reads and writes for a user with one token.
pub(super) fn run_all(tx: &Tx<'_>) {
    let alice = person("alice");
    let first = token(&alice);
    users::insert(tx, &alice, Some("hash")).unwrap();
    tokens::insert(tx, &first, &hash(&first)).unwrap();
    read_all(tx, alice.id, first.id);
    write_all(tx, alice.id, &first);
}

#[test]
fn every_statement_uses_an_index() {
    let connection = in_memory();
    run_all(&transaction(&connection));
    let seen = SEEN.take();
    assert!(seen.len() > 250, "{} statements", seen.len());
    for sql in seen.keys() {
        let steps = plan(&connection, sql);
        let good = steps.iter().all(|step| is_good(sql, step));
        assert!(good, "{sql}\n{steps:#?}");
    }
}

#[test]
fn no_statement_is_recompiled_for_its_bound_values() {
    let connection = in_memory();
    run_all(&transaction(&connection));
    assert_eq!(RECOMPILED.take(), BTreeSet::new());

    // The control: SQLite's default.
    let connection = in_memory();
    let config = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    connection.set_db_config(config, false).unwrap();
    run_all(&transaction(&connection));
    assert!(!RECOMPILED.take().is_empty());
}

#[test]
fn a_scan_is_detected() {
    let connection = in_memory();
    for sql in [
        "SELECT id FROM tokens WHERE note = ?1",
        "SELECT id FROM users ORDER BY update_time",
    ] {
        let steps = plan(&connection, sql);
        assert!(!steps.iter().all(|step| is_good(sql, step)), "{sql}");
    }
}

#[test]
fn counts_read_only_an_index() {
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
    for sql in SEEN.take().keys() {
        assert_eq!(table_reads(&connection, sql), 0, "{sql}");
    }
    // The control: a count that has to read rows.
    let bad = "SELECT count(*) FROM tokens WHERE user_id = ?1 AND note = ?2";
    assert!(table_reads(&connection, bad) > 0);
}
