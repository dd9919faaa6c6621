//! Every column that a statement selects is read.

use std::{cell::RefCell, collections::BTreeMap};

use rusqlite::Statement;

use super::{
    super::{in_memory, transaction},
    plans::run_all,
};
use crate::store::Error;

thread_local! {
    static UNREAD: RefCell<BTreeMap<String, Unread>> = const { RefCell::new(BTreeMap::new()) };
    static CURRENT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The columns of a query by position, without those that a test on this thread has read.
type Unread = BTreeMap<usize, String>;

/// A query begins, whose columns [`note_column`] marks as read.
pub(in crate::store) fn begin(sql: &str, statement: &Statement<'_>) {
    let names = statement.column_names();
    let names = names.into_iter().map(str::to_owned).enumerate();
    UNREAD.with_borrow_mut(|unread| {
        unread
            .entry(sql.to_owned())
            .or_insert_with(|| names.collect());
    });
    CURRENT.set(sql.to_owned());
}

pub(in crate::store) fn note_column(at: usize) {
    UNREAD.with_borrow_mut(|unread| {
        let sql = CURRENT.with_borrow(String::clone);
        unread.get_mut(&sql).and_then(|columns| columns.remove(&at));
    });
}

/// Queries of no rows are left out. A name that is not the next one is an error.
#[test]
fn every_selected_column_is_read() {
    let connection = in_memory();
    let tx = transaction(&connection);
    run_all(&tx);
    // The control: a column that nobody reads.
    let more = "SELECT id, note FROM tokens";
    tx.list(more, &[], |row| row.string("id")).unwrap();
    let unread = UNREAD.take().into_iter().filter(|(sql, columns)| {
        let is_read = columns.is_empty() || columns.contains_key(&0);
        // An order of several SELECTs needs its columns selected.
        !is_read && !sql.contains("AS end_time")
    });
    let unread: Vec<_> = unread.collect();
    assert_eq!(
        unread,
        [(more.to_owned(), BTreeMap::from([(1, "note".to_owned())]))]
    );
    // Only debug builds compare names.
    let missing = tx.find("SELECT id FROM tokens", &[], |row| row.string("note"));
    let is_refused = !cfg!(debug_assertions) || matches!(missing, Err(Error::Row { .. }));
    assert!(is_refused, "{missing:?}");
}
