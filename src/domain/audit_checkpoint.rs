//! Checkpoints: the rows that the purge of the audit log leaves behind, each in the transaction that removes the
//! oldest rows. A checkpoint is a row of the chain. Its target tells which rows are gone and the hash that the first
//! remaining row is chained to, so that whoever verifies the chain can tell a purge from a removal.

use std::{fmt, time::Duration};

use super::{
    audit::{AuditRow, ChainHead},
    duration, lifetime,
    time::Timestamp,
};

/// The action of a checkpoint.
pub const CHECKPOINT_ACTION: &str = "audit.purge";

/// The shortest retention of the audit log.
pub const MIN_AUDIT_RETENTION: Duration = Duration::from_hours(24);

/// What a checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last row that was removed, which all rows before it went with.
    pub last_removed: ChainHead,
    /// The time of that row.
    pub time: Timestamp,
    /// The retention that the purge obeyed.
    pub retention: Duration,
}

impl Checkpoint {
    /// Reads the target of a checkpoint; `None` if it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let checkpoint = Self {
            last_removed: ChainHead::parse(parts.next()?)?,
            time: humantime::parse_rfc3339(parts.next()?).ok()?.into(),
            retention: duration::parse(parts.next()?).ok()?,
        };
        (checkpoint.to_string() == text).then_some(checkpoint)
    }

    /// The checkpoint that a row is; `None` if it is another row.
    ///
    /// # Errors
    /// The row is called a checkpoint and cannot be one. The message completes "the row is …".
    pub fn of(row: &AuditRow) -> Result<Option<Self>, &'static str> {
        if row.action != CHECKPOINT_ACTION {
            return Ok(None);
        }
        let is_own = row.actor == "system" && row.outcome == "ok";
        let Some(found) = Self::parse(&row.target).filter(|_| is_own) else {
            return Err("a checkpoint that no purge writes");
        };
        if found.last_removed.sequence < 1 || found.last_removed.sequence >= row.sequence {
            return Err("a checkpoint of rows that were not before it");
        }
        if found.retention < MIN_AUDIT_RETENTION {
            return Err("a checkpoint with a retention below the minimum");
        }
        if found.time > row.time.minus(found.retention) {
            return Err("a checkpoint of rows whose retention was not over");
        }
        Ok(Some(found))
    }
}

/// `SEQUENCE:HASH TIME RETENTION`.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retention = lifetime::show(self.retention);
        write!(f, "{} {} {retention}", self.last_removed, self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::ChainHash;

    #[test]
    fn a_checkpoint_survives_a_round_trip_and_other_text_is_refused() {
        let checkpoint = Checkpoint {
            last_removed: ChainHead {
                sequence: 42,
                hash: ChainHash::from_bytes([0xab; 32]),
            },
            time: Timestamp::from_micros(1_700_000_000_000_001),
            retention: Duration::from_secs(400 * 86_400 + 3_601),
        };
        let text = checkpoint.to_string();
        assert_eq!(Checkpoint::parse(&text), Some(checkpoint));
        assert!(
            text.ends_with(" 2023-11-14T22:13:20.000001Z 400d 1h 1s"),
            "{text}"
        );
        for bad in [
            "",
            &text.replace("Z 4", "Z  4"),
            &text.replace("400d 1h 1s", "400d 61m"),
            &text.replace("Z ", "z "),
            &text.replace("42:", "042:"),
            &format!("{text} "),
        ] {
            assert_eq!(Checkpoint::parse(bad), None, "{bad}");
        }
    }
}
