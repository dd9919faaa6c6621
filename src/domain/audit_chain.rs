//! Verifies the audit log's hash chain, row by row.

use super::audit::{AuditRow, ChainHead, FORMAT};

/// Maximum number of breaks that are reported.
const MAX_BREAKS: usize = 100;

/// The result of verifying a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many rows were checked.
    pub rows: u64,
    /// The last row: to be recorded, and given to a later verification.
    pub head: ChainHead,
    /// Where the chain is broken; empty if it is intact.
    pub breaks: Vec<Break>,
}

/// A place where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The sequence number of the row.
    pub sequence: i64,
    /// What is wrong with it.
    pub problem: String,
}

/// The state of a verification in progress.
#[derive(Debug)]
pub struct Chain {
    noted: Option<ChainHead>,
    /// The highest format so far: formats never go back.
    format: u32,
    verdict: Verdict,
}

impl Chain {
    /// Starts with no rows checked. The log must contain the `noted` head, if there is one.
    pub fn new(noted: Option<ChainHead>) -> Self {
        let verdict = Verdict {
            rows: 0,
            head: ChainHead::START,
            breaks: vec![],
        };
        Self {
            noted,
            format: 1,
            verdict,
        }
    }

    /// Checks the next row against the one before it. A row that is out of order does not move the end of the log.
    pub fn check(&mut self, row: &AuditRow) {
        self.verdict.rows += 1;
        let ChainHead {
            sequence: last,
            hash: before,
        } = self.verdict.head;
        let sequence = row.sequence;
        if sequence < 1 {
            return self.found(sequence, "numbered below 1, where the log begins: planted");
        }
        if sequence <= last {
            return self.found(sequence, "there twice, or out of its place");
        }
        if sequence > last + 1 {
            let problem = match sequence - 1 {
                end if end == last + 1 => "missing".to_owned(),
                end => format!("missing, and all after it up to row {end}"),
            };
            self.found(last + 1, problem);
        } else if row.format == 0 || row.format > FORMAT {
            let problem = format!("of format {}, which this program does not know", row.format);
            self.found(sequence, problem);
        } else if row.format < self.format
            || (row.format == 1 && !row.credential_kind.is_empty())
            || (row.format < 3 && !row.successor_id.is_empty())
            || row.hash != row.compute_hash(before)
        {
            self.found(sequence, "edited, or out of its place");
        }
        if let Some(noted) = self.noted
            && noted.sequence == sequence
            && noted.hash != row.hash
        {
            self.found(
                sequence,
                "not the row that was noted: the log up to here was rewritten",
            );
        }
        self.format = self.format.max(row.format);
        self.verdict.head = ChainHead {
            sequence,
            hash: row.hash,
        };
    }

    /// The result, once all rows were checked.
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

    fn found(&mut self, sequence: i64, problem: impl Into<String>) {
        if self.verdict.breaks.len() < MAX_BREAKS {
            let problem = problem.into();
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
        let mut chain = Chain::new(None);
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
}
