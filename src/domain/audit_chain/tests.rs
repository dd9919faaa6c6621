//! Verifying a whole log.

use crate::domain::audit::{AuditEvent, ChainHash};

use super::*;

pub(super) fn log(len: i64) -> Vec<AuditRow> {
    let mut before = ChainHash::START;
    let row = |sequence| {
        let event = AuditEvent {
            time: Timestamp::from_micros(sequence),
            actor: "system".to_owned(),
            credential_kind: "local",
            credential_id: String::new(),
            target: format!("t{sequence}"),
            action: "token.create",
            outcome: "ok",
            count: 1,
            request_id: "request".to_owned(),
            successor_id: String::new(),
            client_request_id: String::new(),
            ip: String::new(),
            user_agent: String::new(),
        };
        let row = AuditRow::append(event, sequence, before);
        before = row.hash;
        row
    };
    (1..=len).map(row).collect()
}

pub(super) fn verdict(rows: &[AuditRow], expected: Expectation) -> Verdict {
    let mut chain = Chain::new(expected);
    for row in rows {
        chain.check(row);
    }
    chain.finish()
}

fn verify(rows: &[AuditRow], noted: Option<ChainHead>) -> Vec<i64> {
    let expected = Expectation {
        noted,
        ..Expectation::default()
    };
    verdict(rows, expected)
        .breaks
        .iter()
        .map(|found| found.sequence)
        .collect()
}

#[test]
fn an_intact_log_has_no_breaks() {
    let rows = log(10);
    let head = ChainHead {
        sequence: 10,
        hash: rows[9].hash,
    };
    assert_eq!(verify(&rows, Some(head)), Vec::<i64>::new());
    assert_eq!(verify(&[], None), Vec::<i64>::new());
}

#[test]
fn an_edited_row_is_reported() {
    type Edit = fn(&mut AuditRow);
    let edits: [Edit; 14] = [
        |row| row.credential_kind.clear(),
        |row| row.time = Timestamp::from_micros(0),
        |row| row.actor.push('x'),
        |row| row.credential_id.push('x'),
        |row| row.target.push('x'),
        |row| row.successor_id.push('x'),
        |row| row.action.push('x'),
        |row| row.outcome.push('x'),
        |row| row.count += 1,
        |row| row.request_id.push('x'),
        |row| row.client_request_id.push('x'),
        |row| row.ip.push('x'),
        |row| row.user_agent.push('x'),
        // Moving text from one field to the next is an edit, too.
        |row| row.user_agent = std::mem::take(&mut row.target),
    ];
    for edit in edits {
        let mut rows = log(10);
        edit(&mut rows[4]);
        assert_eq!(verify(&rows, None), [5]);
    }
}

#[test]
fn an_edited_format_is_reported() {
    for format in [0, 1, 2, FORMAT + 1] {
        let mut rows = log(10);
        rows[4].format = format;
        assert_eq!(verify(&rows, None)[0], 5, "{format}");
    }
}

fn problems(rows: &[AuditRow]) -> Vec<(i64, String)> {
    let mut chain = Chain::new(Expectation::default());
    for row in rows {
        chain.check(row);
    }
    let breaks = chain.finish().breaks.into_iter();
    breaks
        .map(|found| (found.sequence, found.problem))
        .collect()
}

/// A log as it was written before rows had a format.
fn old_log(len: i64) -> Vec<AuditRow> {
    let mut before = ChainHash::START;
    let mut rows = log(len);
    for row in &mut rows {
        row.format = 1;
        row.credential_kind.clear();
        row.hash = row.compute_hash(before);
        before = row.hash;
    }
    rows
}

#[test]
fn rows_of_the_first_format_verify_before_newer_ones() {
    let mut rows = old_log(3);
    // Computed by a server of that time.
    let hash = "452d1fa064e90c99a84cdbe36363bb2afdab441f3494a823e5c7dcc84163146d";
    assert_eq!(rows[2].hash.to_string(), hash);
    let mut new = log(5).split_off(3);
    let mut before = rows[2].hash;
    for row in &mut new {
        row.hash = row.compute_hash(before);
        before = row.hash;
    }
    rows.extend(new);
    assert_eq!(problems(&rows), []);
    // A field that the old hash does not cover.
    rows[1].credential_kind = "local".to_owned();
    assert_eq!(verify(&rows, None), [2]);
    // A newer row cannot be passed off as an old one to escape the hash over all fields.
    let mut rows = log(3);
    rows[2].format = 1;
    rows[2].credential_kind.clear();
    rows[2].hash = rows[2].compute_hash(rows[1].hash);
    assert_eq!(verify(&rows, None), [3]);
}

#[test]
fn planted_rows_below_1_are_reported_and_do_not_break_the_rest() {
    let mut planted = Vec::new();
    let mut before = ChainHash::START;
    for (row, sequence) in log(3).into_iter().zip([i64::MIN, -1, 0]) {
        let mut row = AuditRow { sequence, ..row };
        row.hash = row.compute_hash(before);
        before = row.hash;
        planted.push(row);
    }
    planted.extend(log(4));
    let problems = problems(&planted);
    let numbers: Vec<_> = problems.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [i64::MIN, -1, 0]);
    assert!(
        problems
            .iter()
            .all(|(_, problem)| problem.contains("below 1"))
    );
    // Nor does a chain that starts below 1 pass for one that starts at 1.
    let mut shifted = log(4);
    let mut before = ChainHash::START;
    for row in &mut shifted {
        row.sequence -= 2;
        row.hash = row.compute_hash(before);
        before = row.hash;
    }
    assert_eq!(verify(&shifted, None), [-1, 0, 1]);
}

#[test]
fn gaps_and_duplicates_are_described() {
    let mut rows = log(10);
    rows.drain(3..7);
    let expected = (4, "missing, and all after it up to row 7".to_owned());
    assert_eq!(problems(&rows), [expected]);
    let mut rows = log(3);
    rows.insert(2, rows[1].clone());
    assert_eq!(
        problems(&rows),
        [(2, "there twice, or out of its place".to_owned())]
    );
    let mut end = log(3);
    end[2].sequence = i64::MAX;
    assert_eq!(problems(&end)[0].0, 3);
}

#[test]
fn removed_swapped_and_truncated_rows_are_reported() {
    let rows = log(10);
    for gone in 0..9 {
        let mut rows = rows.clone();
        let sequence = rows.remove(gone).sequence;
        assert_eq!(verify(&rows, None)[0], sequence);
    }
    let mut swapped = rows.clone();
    swapped.swap(3, 4);
    (swapped[3].sequence, swapped[4].sequence) = (4, 5);
    assert_eq!(verify(&swapped, None)[0], 4);

    let head = ChainHead {
        sequence: 10,
        hash: rows[9].hash,
    };
    assert_eq!(verify(&rows[..7], Some(head)), [8]);
    assert_eq!(verify(&[], Some(head)), [1]);
}

#[test]
fn a_rewritten_log_does_not_match_the_noted_head() {
    let rows = log(10);
    let head = ChainHead {
        sequence: 5,
        hash: rows[4].hash,
    };
    let mut before = ChainHash::START;
    let rewritten: Vec<_> = rows
        .into_iter()
        .map(|mut row| {
            row.target = "someone else".to_owned();
            row.hash = row.compute_hash(before);
            before = row.hash;
            row
        })
        .collect();
    assert_eq!(verify(&rewritten, None), Vec::<i64>::new());
    assert_eq!(verify(&rewritten, Some(head)), [5]);
}
