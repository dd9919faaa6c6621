//! Verifying a log whose first rows were purged.

use crate::domain::{
    audit::{AuditEvent, ChainHash},
    audit_checkpoint::CHECKPOINT_ACTION,
};

use super::{
    tests::{log, verdict},
    *,
};

const DAY: Duration = Duration::from_hours(24);
/// The rows of the log are from the first microseconds after 1970.
const PURGED_AT: Timestamp = Timestamp::from_micros(100 * 86_400_000_000);

fn head(row: &AuditRow) -> ChainHead {
    ChainHead {
        sequence: row.sequence,
        hash: row.hash,
    }
}

/// Appends a checkpoint whose last removed row is `row`, and lets `edit` change it before it is hashed.
fn add_checkpoint(rows: &mut Vec<AuditRow>, row: &AuditRow, edit: impl Fn(&mut AuditEvent)) {
    let last = rows.last().unwrap().clone();
    let checkpoint = Checkpoint {
        last_removed: head(row),
        time: row.time,
        retention: 90 * DAY,
    };
    let mut event = AuditEvent {
        time: PURGED_AT,
        actor: "system".to_owned(),
        credential_kind: "",
        credential_id: String::new(),
        target: checkpoint.to_string(),
        successor_id: String::new(),
        action: CHECKPOINT_ACTION,
        outcome: "ok",
        count: 1,
        request_id: "request".to_owned(),
        client_request_id: String::new(),
        ip: String::new(),
        user_agent: String::new(),
    };
    edit(&mut event);
    rows.push(AuditRow::append(event, last.sequence + 1, last.hash));
}

/// Ten rows and a checkpoint, after which the first four rows were removed; and those.
fn purged() -> (Vec<AuditRow>, Vec<AuditRow>) {
    let mut rows = log(10);
    let last = rows[3].clone();
    add_checkpoint(&mut rows, &last, |_| {});
    let removed = rows.drain(..4).collect();
    (rows, removed)
}

fn breaks(rows: &[AuditRow]) -> Vec<i64> {
    let verdict = verdict(rows, Expectation::default());
    verdict.breaks.iter().map(|found| found.sequence).collect()
}

fn noted(head: ChainHead) -> Expectation {
    Expectation {
        noted: Some(head),
        ..Expectation::default()
    }
}

#[test]
fn purged_rows_are_covered_by_their_checkpoint() {
    let (rows, _) = purged();
    let verdict = verdict(&rows, Expectation::default());
    assert_eq!(verdict.breaks, []);
    let expected = RemovedRows {
        last: 4,
        removed_at: PURGED_AT,
        checkpoint: 11,
        retention: 90 * DAY,
    };
    assert_eq!(verdict.removed, Some(expected));
    assert_eq!((verdict.rows, verdict.head), (7, head(&rows[6])));
}

#[test]
fn a_second_purge_goes_on_after_the_first_and_may_leave_nothing_but_its_checkpoint() {
    let (mut rows, _) = purged();
    let (fifth, seventh) = (rows[0].clone(), rows[2].clone());
    add_checkpoint(&mut rows, &fifth, |_| {});
    add_checkpoint(&mut rows, &seventh, |_| {});
    rows.drain(..3);
    assert_eq!(breaks(&rows), [0; 0]);

    let mut rows = log(3);
    let last = rows[2].clone();
    add_checkpoint(&mut rows, &last, |_| {});
    assert_eq!(breaks(&rows[3..]), [0; 0]);
    let mut edited = rows[3].clone();
    edited.count = 2;
    assert_eq!(breaks(&[edited]), [4]);
}

#[test]
fn a_removal_that_no_checkpoint_covers_is_reported() {
    let (rows, removed) = purged();
    // One row more, the first rows without a checkpoint, and a row in between.
    assert_eq!(breaks(&rows[1..]), [5]);
    assert_eq!(breaks(&rows[..6]), [1]);
    let without_a_row = [&rows[..2], &rows[3..]].concat();
    assert_eq!(breaks(&without_a_row), [7]);
    // Rows that were removed are not to come back, edited or not.
    let mut back = removed[3].clone();
    assert_eq!(breaks(&[std::slice::from_ref(&back), &rows].concat())[0], 4);
    assert_eq!(breaks(&[&removed, &rows[..]].concat()), [1]);
    back.target.push('x');
    assert!(!breaks(&[&[back], &rows[..]].concat()).is_empty());
}

#[test]
fn the_first_row_is_checked_against_the_checkpoint() {
    let (mut rows, _) = purged();
    rows[0].target.push('x');
    assert_eq!(breaks(&rows), [5]);
}

#[test]
fn a_checkpoint_that_no_purge_writes_covers_nothing() {
    type Edit = fn(&mut AuditEvent);
    let edits: [Edit; 6] = [
        |event| event.actor = "somebody".to_owned(),
        |event| event.outcome = "NOT_FOUND",
        |event| event.target.push('x'),
        |event| event.target = event.target.replace("90d", "1h"),
        // The rows are a hundred days old.
        |event| event.target = event.target.replace("90d", "101d"),
        |event| event.target = event.target.replace("4:", "11:"),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut rows = log(10);
        let last = rows[3].clone();
        add_checkpoint(&mut rows, &last, edit);
        assert_eq!(breaks(&rows[4..]), [1, 11], "{number}");
    }
    // Nor does one that names another row before the first: the hash must fit, too.
    let mut rows = log(10);
    let mut last = rows[3].clone();
    last.hash = ChainHash::from_bytes([7; 32]);
    add_checkpoint(&mut rows, &last, |_| {});
    assert_eq!(breaks(&rows[4..]), [5]);
}

#[test]
fn a_noted_head_that_was_removed_is_compared_where_a_checkpoint_tells_its_hash() {
    let (rows, removed) = purged();
    let last = verdict(&rows, noted(head(&removed[3])));
    assert_eq!((last.breaks, last.is_noted_removed), (vec![], false));
    let earlier = verdict(&rows, noted(head(&removed[1])));
    assert_eq!((earlier.breaks, earlier.is_noted_removed), (vec![], true));
    let other = ChainHead {
        hash: ChainHash::from_bytes([7; 32]),
        ..head(&removed[3])
    };
    assert_eq!(verdict(&rows, noted(other)).breaks[0].sequence, 4);
    let kept = verdict(&rows, noted(head(&rows[0])));
    assert_eq!((kept.breaks, kept.is_noted_removed), (vec![], false));
}

#[test]
fn a_retention_below_the_agreed_one_is_reported() {
    let (rows, _) = purged();
    let breaks = |days: u32| {
        let expected = Expectation {
            min_retention: Some(days * DAY),
            ..Expectation::default()
        };
        verdict(&rows, expected).breaks
    };
    assert_eq!(breaks(90), []);
    let found = breaks(91);
    assert_eq!(found[0].sequence, 11);
    assert!(found[0].problem.contains("90d"), "{found:?}");
}
