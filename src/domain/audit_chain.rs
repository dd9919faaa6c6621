//! Verifying the audit log's chain, row by row.

use super::audit::{AuditRow, ChainHead};

/// How many breaks are told of.
const MAX_BREAKS: usize = 100;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many rows there are.
    pub rows: u64,
    /// The last of them: to be noted, and handed in at a later check.
    pub head: ChainHead,
    /// Where the chain is broken; empty: nowhere.
    pub breaks: Vec<Break>,
}

/// A place where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The row.
    pub sequence: i64,
    /// What is wrong there.
    pub problem: &'static str,
}

/// The chain as far as it was checked.
#[derive(Debug)]
pub struct Chain {
    noted: Option<ChainHead>,
    verdict: Verdict,
}

impl Chain {
    /// Nothing yet. Where a `noted` head is given, the log must go on from there.
    pub fn new(noted: Option<ChainHead>) -> Self {
        let verdict = Verdict {
            rows: 0,
            head: ChainHead::START,
            breaks: vec![],
        };
        Self { noted, verdict }
    }

    /// Checks the next row against the one before it.
    pub fn check(&mut self, row: &AuditRow) {
        let ChainHead {
            sequence: last,
            hash: before,
        } = self.verdict.head;
        if row.sequence != last + 1 {
            self.found(last + 1, "missing");
        } else if row.hash != row.compute_hash(before) {
            self.found(row.sequence, "edited, or out of its place");
        }
        if let Some(noted) = self.noted
            && noted.sequence == row.sequence
            && noted.hash != row.hash
        {
            self.found(
                row.sequence,
                "not the row that was noted: the log up to here was rewritten",
            );
        }
        self.verdict.rows += 1;
        self.verdict.head = ChainHead {
            sequence: row.sequence,
            hash: row.hash,
        };
    }

    /// What was found, now that there are no more rows.
    pub fn finish(mut self) -> Verdict {
        if let Some(noted) = self.noted
            && noted.sequence > self.verdict.head.sequence
        {
            self.found(
                self.verdict.head.sequence + 1,
                "missing: the log ends before the noted head",
            );
        }
        self.verdict
    }

    fn found(&mut self, sequence: i64, problem: &'static str) {
        if self.verdict.breaks.len() < MAX_BREAKS {
            self.verdict.breaks.push(Break { sequence, problem });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{
        audit::{AuditEvent, ChainHash},
        time::Timestamp,
    };

    use super::*;

    fn log(len: i64) -> Vec<AuditRow> {
        let mut before = ChainHash::START;
        let row = |sequence| {
            let event = AuditEvent {
                time: Timestamp::from_micros(sequence),
                actor: "system".to_owned(),
                credential_id: String::new(),
                target: format!("t{sequence}"),
                action: "token.create",
                outcome: "ok",
                count: 1,
                request_id: "request".to_owned(),
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

    fn verify(rows: &[AuditRow], noted: Option<ChainHead>) -> Vec<i64> {
        let mut chain = Chain::new(noted);
        for row in rows {
            chain.check(row);
        }
        chain
            .finish()
            .breaks
            .iter()
            .map(|found| found.sequence)
            .collect()
    }

    #[test]
    fn a_whole_log_has_no_break() {
        let rows = log(10);
        let head = ChainHead {
            sequence: 10,
            hash: rows[9].hash,
        };
        assert_eq!(verify(&rows, Some(head)), Vec::<i64>::new());
        assert_eq!(verify(&[], None), Vec::<i64>::new());
    }

    #[test]
    fn an_edited_row_is_named() {
        type Edit = fn(&mut AuditRow);
        let edits: [Edit; 12] = [
            |row| row.time = Timestamp::from_micros(0),
            |row| row.actor.push('x'),
            |row| row.credential_id.push('x'),
            |row| row.target.push('x'),
            |row| row.action.push('x'),
            |row| row.outcome.push('x'),
            |row| row.count += 1,
            |row| row.request_id.push('x'),
            |row| row.client_request_id.push('x'),
            |row| row.ip.push('x'),
            |row| row.user_agent.push('x'),
            // A text moved from one field to the next is an edit, too.
            |row| row.user_agent = std::mem::take(&mut row.target),
        ];
        for edit in edits {
            let mut rows = log(10);
            edit(&mut rows[4]);
            assert_eq!(verify(&rows, None), [5]);
        }
    }

    #[test]
    fn removed_swapped_and_truncated_rows_are_named() {
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
    fn a_log_that_was_rewritten_is_not_the_one_that_was_noted() {
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
}
