//! A page of tokens is read from its position in an index, at any depth.

use std::time::Duration;

use super::{
    super::{in_memory, transaction},
    plans::{SEEN, plan},
};
use crate::{
    domain::id::UserId,
    store::{
        tests::samples::NOW,
        tokens::{self, TokenFilter},
    },
};

#[test]
fn a_list_starts_at_its_position_in_two_index_ranges_of_live_tokens() {
    let connection = in_memory();
    let tx = transaction(&connection);
    SEEN.take();
    let filter = TokenFilter::live_of(UserId::generate(NOW));
    tokens::search(&tx, &filter, NOW, None, false, 50).unwrap();
    let steps: Vec<_> = SEEN
        .take()
        .keys()
        .map(|sql| plan(&connection, sql).join("; "))
        .collect();
    let index = "SEARCH tokens USING INDEX tokens_live";
    let endless = format!("{index} (user_id=? AND expire_time=? AND (create_time,id)>(?,?))");
    let ending = format!("{index} (user_id=? AND expire_time>?); USE TEMP B-TREE FOR ORDER BY");
    assert_eq!(steps, [ending, endless]);
}

#[test]
fn a_list_with_ended_tokens_starts_at_its_position_in_two_indexes() {
    let connection = in_memory();
    let tx = transaction(&connection);
    SEEN.take();
    tokens::list_with_ended(&tx, UserId::generate(NOW), None, true, 50).unwrap();
    let steps: Vec<_> = SEEN
        .take()
        .keys()
        .map(|sql| plan(&connection, sql).join("; "))
        .collect();
    let expected = ["tokens_revoked_listed", "tokens_listed"].map(|index| {
        format!("SEARCH tokens USING INDEX {index} (user_id=? AND (create_time,id)<(?,?))")
    });
    assert_eq!(steps, expected);
}

#[test]
fn expiring_tokens_are_a_range_of_an_index_without_deleted_tokens() {
    let connection = in_memory();
    let tx = transaction(&connection);
    SEEN.take();
    let filter = TokenFilter {
        expiring_before: Some(NOW.plus(Duration::from_hours(1))),
        scope: Some("deploy".to_owned()),
        ..TokenFilter::default()
    };
    tokens::search(&tx, &filter, NOW, None, true, 50).unwrap();
    tokens::count(&tx, &filter, NOW, None).unwrap();
    for sql in SEEN.take().keys() {
        let steps = plan(&connection, sql);
        let expected = "tokens_expiring ((expire_time,id)>(?,?) AND (expire_time,id)<(?,?))";
        assert!(steps[0].contains(expected), "{sql}: {steps:?}");
    }
}
