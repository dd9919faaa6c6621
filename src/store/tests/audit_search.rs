//! Searching the audit log.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    domain::{
        audit::{AuditEvent, AuditRow},
        id::TokenId,
    },
    store::{
        Tx, audit,
        audit_search::{Actor, AuditFilter, search},
        sqlite,
        tests::samples::{NOW, event},
    },
};

const ACTIONS: [&str; 4] = ["token.create", "token.delete", "user.create", "user.get"];

/// A second, independent implementation of the filter.
fn selects(filter: &AuditFilter, row: &AuditRow) -> bool {
    let actor = |actor: &Actor| match actor {
        Actor::Is(actor) => row.actor == *actor,
        Actor::Local => row.actor.starts_with("local:"),
    };
    let credential = |id: TokenId| row.credential_id == id.to_string();
    let actions = &filter.actions;
    filter.actor.as_ref().is_none_or(actor)
        && filter.credential.is_none_or(credential)
        && filter
            .target
            .as_ref()
            .is_none_or(|it| [&row.target, &row.successor_id].contains(&it))
        && (actions.is_empty() || actions.contains(&row.action.as_str()))
        && filter.from.is_none_or(|time| row.time >= time)
        && filter.before.is_none_or(|time| row.time < time)
}

/// All pages of a search. Pages may be of any size up to the limit.
fn all(tx: &Tx<'_>, filter: &AuditFilter, reverse: bool, limit: u32) -> Vec<i64> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = search(tx, filter, after, reverse, limit).unwrap();
        found.extend(page.rows.iter().map(|row| row.sequence));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

#[test]
fn every_matching_row_is_found_once_in_order_of_time() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let mut random = StdRng::seed_from_u64(9);
    let tokens = [1, 2].map(|_| TokenId::generate(NOW));
    let actors = ["alice", "local:0", "local:1000", "system", ""];
    // More rows than one call scans. The clock is set back now and then, or stands still.
    for _ in 0..4_000 {
        let millis = random.random_range(0..1_000);
        audit::append(
            &tx,
            AuditEvent {
                time: NOW.plus(Duration::from_millis(millis)),
                actor: actors[random.random_range(0..actors.len())].to_owned(),
                credential_id: tokens[random.random_range(0..2)].to_string(),
                target: ["one", "two", ""][random.random_range(0..3)].to_owned(),
                successor_id: ["three", "", ""][random.random_range(0..3)].to_owned(),
                ..event(ACTIONS[random.random_range(0..ACTIONS.len())])
            },
        )
        .unwrap();
    }
    // No longer a row of the log, which starts at 1.
    let planted = "UPDATE audit SET sequence = -7 WHERE sequence = 7";
    connection.execute_batch(planted).unwrap();
    let rows = audit::list(&tx, None, false, 10_000).unwrap();
    let time = |millis| Some(NOW.plus(Duration::from_millis(millis)));
    let mut met = 0;
    for _ in 0..400 {
        let mut yes = || random.random_bool(0.4);
        let filter = AuditFilter {
            actor: [Actor::Is("alice".to_owned()), Actor::Local]
                .into_iter()
                .find(|_| yes()),
            credential: yes().then_some(tokens[0]),
            target: ["one", "three"]
                .into_iter()
                .find(|_| yes())
                .map(str::to_owned),
            actions: ACTIONS.into_iter().take(3).filter(|_| yes()).collect(),
            from: time(300).filter(|_| yes()),
            before: time(700).filter(|_| yes()),
        };
        let mut expected: Vec<_> = rows.iter().filter(|row| selects(&filter, row)).collect();
        expected.sort_by_key(|row| (row.time, row.sequence));
        let mut expected: Vec<_> = expected.iter().map(|row| row.sequence).collect();
        met += expected.len();
        let limit = [20, 251][random.random_range(0..2)];
        assert_eq!(all(&tx, &filter, false, limit), expected, "{filter:?}");
        expected.reverse();
        assert_eq!(all(&tx, &filter, true, limit), expected, "{filter:?}");
    }
    assert!(met > 10_000, "{met}");
}

#[test]
fn no_row_is_appended_after_the_last_number_there_is() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    audit::append(&tx, event("user.create")).unwrap();
    let planted = format!("UPDATE audit SET sequence = {}", i64::MAX);
    connection.execute_batch(&planted).unwrap();
    let error = audit::append(&tx, event("user.get")).unwrap_err();
    assert!(error.to_string().contains("sequence"), "{error}");
}
