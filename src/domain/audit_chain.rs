//! Verifies the audit log's hash chain, row by row.
//!
//! A log may begin after row 1 only if a checkpoint in it covers exactly the rows before: those that the retention
//! removed. The first row is then checked against the hash in that checkpoint, and the checkpoint by the chain.

use std::time::Duration;

use super::{
    audit::{AuditRow, ChainHead, FORMAT},
    audit_checkpoint::Checkpoint,
    lifetime,
    time::Timestamp,
};

/// Maximum number of breaks that are reported.
const MAX_BREAKS: usize = 100;

/// The result of verifying a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many rows were checked.
    pub rows: u64,
    /// The last row: to be recorded, and given to a later verification.
    pub head: ChainHead,
    /// The rows that the retention removed; `None`: the log begins at row 1, or what is missing is a break.
    pub removed: Option<RemovedRows>,
    /// Whether the noted head is one of the removed rows and so could not be compared.
    pub is_noted_removed: bool,
    /// Where the chain is broken; empty if it is intact.
    pub breaks: Vec<Break>,
}

/// The rows that the retention removed, from row 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedRows {
    /// The last of them.
    pub last: i64,
    /// When it was removed.
    pub removed_at: Timestamp,
    /// The sequence number of the checkpoint that covers them.
    pub checkpoint: i64,
    /// The retention that the checkpoint names.
    pub retention: Duration,
}

/// A place where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The sequence number of the row.
    pub sequence: i64,
    /// What is wrong with it.
    pub problem: String,
}

/// What the log must fulfil, besides being an intact chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectation {
    /// A head that was noted earlier, which the log must contain.
    pub noted: Option<ChainHead>,
    /// The shortest retention by which rows may have been removed.
    pub min_retention: Option<Duration>,
}

/// The state of a verification in progress.
#[derive(Debug)]
pub struct Chain {
    expected: Expectation,
    /// The highest format so far: formats never go back.
    format: u32,
    /// The first row, if its number is above 1: its hash is checked once a checkpoint tells the hash before it.
    uncovered: Option<AuditRow>,
    /// The number of the first row.
    first: i64,
    /// The row that the latest checkpoint names as the last removed one.
    last_removed: i64,
    is_noted_confirmed: bool,
    verdict: Verdict,
}

impl Chain {
    /// Starts with no rows checked.
    pub fn new(expected: Expectation) -> Self {
        let verdict = Verdict {
            rows: 0,
            head: ChainHead::START,
            removed: None,
            is_noted_removed: false,
            breaks: vec![],
        };
        Self {
            expected,
            format: 1,
            uncovered: None,
            first: 1,
            last_removed: 0,
            is_noted_confirmed: false,
            verdict,
        }
    }

    /// Checks the next row against the one before it. A row that is out of order does not move the end of the log.
    pub fn check(&mut self, row: &AuditRow) {
        self.verdict.rows += 1;
        let last = self.verdict.head.sequence;
        let sequence = row.sequence;
        if sequence < 1 {
            return self.found(sequence, "numbered below 1, where the log begins: planted");
        }
        if sequence <= last {
            return self.found(sequence, "there twice, or out of its place");
        }
        if last == 0 && sequence > 1 {
            self.first = sequence;
            self.uncovered = Some(row.clone());
            self.check_fields(row);
        } else if sequence > last + 1 {
            self.found(last + 1, missing(last + 1, sequence - 1));
        } else if self.check_fields(row) && row.hash != row.compute_hash(self.verdict.head.hash) {
            self.found(sequence, EDITED);
        }
        self.compare_noted(ChainHead {
            sequence,
            hash: row.hash,
        });
        match Checkpoint::of(row) {
            Ok(None) => {}
            Ok(Some(checkpoint)) => self.check_checkpoint(row, checkpoint),
            Err(problem) => self.found(sequence, problem),
        }
        self.format = self.format.max(row.format);
        self.verdict.head = ChainHead {
            sequence,
            hash: row.hash,
        };
    }

    /// The result, once all rows were checked.
    pub fn finish(mut self) -> Verdict {
        if self.uncovered.is_some() {
            // Rows before it may have been removed by the retention; these were not.
            let sequence = self.last_removed + 1;
            let problem = missing(sequence, self.first - 1);
            self.verdict.breaks.insert(0, Break { sequence, problem });
        }
        if let Some(noted) = self.expected.noted {
            if noted.sequence > self.verdict.head.sequence {
                let problem = "missing: the log ends before the noted head";
                self.found(self.verdict.head.sequence + 1, problem);
            } else if noted.sequence > 0 && noted.sequence < self.first {
                self.verdict.is_noted_removed = !self.is_noted_confirmed;
            }
        }
        self.verdict
    }

    /// Checks what does not need the hash before, and reports it. Returns whether it is as it must be.
    fn check_fields(&mut self, row: &AuditRow) -> bool {
        if row.format == 0 || row.format > FORMAT {
            let problem = format!("of format {}, which this program does not know", row.format);
            self.found(row.sequence, problem);
            return false;
        }
        let is_bad = row.format < self.format
            || (row.format == 1 && !row.credential_kind.is_empty())
            || (row.format < 3 && !row.successor_id.is_empty());
        if is_bad {
            self.found(row.sequence, EDITED);
        }
        !is_bad
    }

    fn compare_noted(&mut self, row: ChainHead) {
        let Some(noted) = self.expected.noted else {
            return;
        };
        if noted.sequence != row.sequence {
            return;
        }
        self.is_noted_confirmed = true;
        if noted.hash != row.hash {
            let problem = "not the row that was noted: the log up to here was rewritten";
            self.found(row.sequence, problem);
        }
    }

    fn check_checkpoint(&mut self, row: &AuditRow, checkpoint: Checkpoint) {
        let (removed, sequence) = (checkpoint.last_removed, row.sequence);
        if let Some(min) = self.expected.min_retention
            && checkpoint.retention < min
        {
            let problem = format!(
                "a checkpoint with a retention of {}, which is shorter than {}",
                lifetime::show(checkpoint.retention),
                lifetime::show(min)
            );
            self.found(sequence, problem);
        }
        if removed.sequence <= self.last_removed {
            return self.found(sequence, "a checkpoint of rows that were removed before");
        }
        self.last_removed = removed.sequence;
        self.compare_noted(removed);
        if removed.sequence >= self.first {
            self.uncovered = None;
            let problem = format!(
                "there, although the checkpoint in row {sequence} says that it was removed"
            );
            return self.found(self.first, problem);
        }
        if removed.sequence + 1 != self.first {
            return;
        }
        let Some(first) = self.uncovered.take() else {
            return;
        };
        if first.hash != first.compute_hash(removed.hash) {
            self.found(first.sequence, EDITED);
        }
        self.verdict.removed = Some(RemovedRows {
            last: removed.sequence,
            removed_at: row.time,
            checkpoint: sequence,
            retention: checkpoint.retention,
        });
    }

    fn found(&mut self, sequence: i64, problem: impl Into<String>) {
        if self.verdict.breaks.len() < MAX_BREAKS {
            let problem = problem.into();
            self.verdict.breaks.push(Break { sequence, problem });
        }
    }
}

const EDITED: &str = "edited, or out of its place";

fn missing(first: i64, last: i64) -> String {
    if first == last {
        "missing".to_owned()
    } else {
        format!("missing, and all after it up to row {last}")
    }
}

#[cfg(test)]
mod checkpoint_tests;
#[cfg(test)]
mod tests;
