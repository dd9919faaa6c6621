//! The audit table. Rows are appended and never changed; only a purge removes some, the oldest.

use super::{error::Error, row::Row, tx::Tx};
use crate::domain::{
    audit::{AuditEvent, AuditRow, ChainHash, ChainHead, LinkedRow},
    audit_checkpoint::{CHECKPOINT_ACTION, Checkpoint},
    id::TokenId,
    time::Timestamp,
};

macro_rules! columns {
    () => {
        "sequence, time, actor, credential_id, target, action, outcome, count, request_id, \
         client_request_id, ip, user_agent, hash, format, credential_kind, successor_id"
    };
}
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM audit ", $rest)
    };
}

/// The columns that [`decode`] reads.
pub(super) const COLUMNS: &str = columns!();

/// The position of the last row, and the chain's hash there.
pub fn head(tx: &Tx<'_>) -> Result<ChainHead, Error> {
    let sql = "SELECT sequence, hash FROM audit WHERE sequence > 0 ORDER BY sequence DESC LIMIT 1";
    let head = tx.find(sql, &[], |row| {
        Ok(ChainHead {
            sequence: row.int("sequence")?,
            hash: ChainHash::from_bytes(row.bytes("hash")?),
        })
    })?;
    Ok(head.unwrap_or(ChainHead::START))
}

/// The number of the first row.
pub fn first(tx: &Tx<'_>) -> Result<Option<i64>, Error> {
    let sql = "SELECT sequence FROM audit WHERE sequence > 0 ORDER BY sequence LIMIT 1";
    tx.find(sql, &[], |row| row.int("sequence"))
}

/// The time of the last row.
pub fn newest_time(tx: &Tx<'_>) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT time FROM audit WHERE sequence > 0 ORDER BY sequence DESC LIMIT 1";
    tx.find(sql, &[], |row| row.time("time"))
}

/// Appends `event`. The head is read in the same transaction, since other requests append too.
pub fn append(tx: &Tx<'_>, event: AuditEvent) -> Result<ChainHead, Error> {
    let before = head(tx)?;
    // Only a planted row has the last number there is.
    let next = before.sequence.checked_add(1).ok_or(Error::Row {
        column: "sequence".to_owned(),
        expected: "a number that another can follow",
    })?;
    let row = AuditRow::append(event, next, before.hash);
    let sql = "INSERT INTO audit (sequence, time, actor, credential_id, target, action, outcome, count, \
               request_id, client_request_id, ip, user_agent, hash, format, credential_kind, successor_id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let params = [
        row.sequence.into(),
        row.time.into(),
        row.actor.as_str().into(),
        row.credential_id.as_str().into(),
        row.target.as_str().into(),
        row.action.as_str().into(),
        row.outcome.as_str().into(),
        row.count.into(),
        row.request_id.as_str().into(),
        row.client_request_id.as_str().into(),
        row.ip.as_str().into(),
        row.user_agent.as_str().into(),
        row.hash.as_bytes().into(),
        row.format.into(),
        row.credential_kind.as_str().into(),
        row.successor_id.as_str().into(),
    ];
    tx.insert(sql, &params)?;
    tx.note_audit_row(row.sequence);
    Ok(ChainHead {
        sequence: row.sequence,
        hash: row.hash,
    })
}

/// The oldest rows, if their retention is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldRows {
    /// The last of them.
    pub last: ChainHead,
    /// The time of that row.
    pub time: Timestamp,
    /// How many there are.
    pub count: u32,
    /// Whether all of them are checkpoints.
    pub are_checkpoints: bool,
}

/// The rows before the first one that is not older than `before`, or has a number above `max`: at most `limit` of
/// them. So a row with a wrong time in the future keeps those after it.
pub fn find_old(
    tx: &Tx<'_>,
    before: Timestamp,
    max: i64,
    limit: u32,
) -> Result<Option<OldRows>, Error> {
    let sql = "SELECT sequence, hash, time, action FROM audit WHERE sequence > 0 AND sequence <= ?1 \
               ORDER BY sequence LIMIT ?2";
    let rows = tx.list(sql, &[max.into(), limit.into()], |row| {
        let last = ChainHead {
            sequence: row.int("sequence")?,
            hash: ChainHash::from_bytes(row.bytes("hash")?),
        };
        let time = Timestamp::from_micros(row.int("time")?);
        Ok((last, time, row.string("action")? == CHECKPOINT_ACTION))
    })?;
    let old = rows.iter().take_while(|(_, time, _)| *time < before);
    let found = old.fold(
        None,
        |found: Option<OldRows>, &(last, time, is_checkpoint)| {
            let (count, are_checkpoints) =
                found.map_or((0, true), |found| (found.count, found.are_checkpoints));
            Some(OldRows {
                last,
                time,
                count: count + 1,
                are_checkpoints: are_checkpoints && is_checkpoint,
            })
        },
    );
    Ok(found)
}

/// Removes the rows from 1 to `last`, and returns how many there were. Only for a purge, which appends a checkpoint
/// in the same transaction.
pub fn remove_old(tx: &Tx<'_>, last: i64) -> Result<u64, Error> {
    tx.remove_audit_rows(last)
}

/// At most `limit` rows after sequence number `after`, oldest first, or newest first in `reverse`. Sequence numbers
/// start at 1; planted rows below are skipped.
pub fn list(
    tx: &Tx<'_>,
    after: Option<i64>,
    reverse: bool,
    limit: u32,
) -> Result<Vec<AuditRow>, Error> {
    let (sql, start) = if reverse {
        let sql = select!("WHERE sequence < ?1 AND sequence > 0 ORDER BY sequence DESC LIMIT ?2");
        (sql, i64::MAX)
    } else {
        let sql = select!("WHERE sequence > ?1 AND sequence > 0 ORDER BY sequence LIMIT ?2");
        (sql, 0)
    };
    let params = [after.unwrap_or(start).into(), limit.into()];
    tx.list(sql, &params, decode)
}

/// At most `limit` rows after sequence number `after`, or from the very first row, whatever its number: a
/// verification must also see rows that were planted below 1.
pub fn list_all(tx: &Tx<'_>, after: Option<i64>, limit: u32) -> Result<Vec<AuditRow>, Error> {
    let Some(first) = after.map_or(Some(i64::MIN), |after| after.checked_add(1)) else {
        return Ok(Vec::new());
    };
    let sql = select!("WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2");
    tx.list(sql, &[first.into(), limit.into()], decode)
}

/// Adds to each row the hash of the row before it.
pub fn link(tx: &Tx<'_>, rows: Vec<AuditRow>) -> Result<Vec<LinkedRow>, Error> {
    let mut linked: Vec<LinkedRow> = Vec::with_capacity(rows.len());
    for row in rows {
        let before = linked.last().map(|linked| &linked.row);
        let before = before.filter(|before| before.sequence.checked_add(1) == Some(row.sequence));
        let previous = match before {
            Some(before) => Some(before.hash),
            None => hash_before(tx, row.sequence)?,
        };
        linked.push(LinkedRow { row, previous });
    }
    Ok(linked)
}

/// The hash of the row before `sequence`. If that was purged, the latest checkpoint tells it.
fn hash_before(tx: &Tx<'_>, sequence: i64) -> Result<Option<ChainHash>, Error> {
    if sequence == 1 {
        return Ok(Some(ChainHash::START));
    }
    let Some(before) = sequence.checked_sub(1) else {
        return Ok(None);
    };
    let sql = "SELECT hash FROM audit WHERE sequence = ?1";
    let found = tx.find(sql, &[before.into()], |row| row.bytes("hash"))?;
    if let Some(hash) = found {
        return Ok(Some(ChainHash::from_bytes(hash)));
    }
    let sql =
        "SELECT target FROM audit WHERE action = ?1 ORDER BY time DESC, sequence DESC LIMIT 1";
    let target = tx.find(sql, &[CHECKPOINT_ACTION.into()], |row| row.string("target"))?;
    let checkpoint = target.and_then(|target| Checkpoint::parse(&target));
    let removed = checkpoint.map(|checkpoint| checkpoint.last_removed);
    Ok(removed
        .filter(|last| last.sequence == before)
        .map(|last| last.hash))
}

/// The row at `sequence`.
pub fn find(tx: &Tx<'_>, sequence: i64) -> Result<Option<AuditRow>, Error> {
    tx.find(select!("WHERE sequence = ?1"), &[sequence.into()], decode)
}

/// The row that records who created the token `id` at `create_time`, and with which credential. It is the first one
/// with the token as its target, so no later rows are read.
pub fn find_creation(
    tx: &Tx<'_>,
    id: TokenId,
    create_time: Timestamp,
) -> Result<Option<AuditRow>, Error> {
    if let Some(rotation) = find_rotation(tx, id)? {
        return Ok(Some(rotation));
    }
    // Rotations used to write a second row for the successor.
    let sql = select!(
        "WHERE target = ?1 AND target <> '' AND time <= ?2 AND +action IN ('token.create', 'token.rotate') AND +sequence > 0 \
         ORDER BY time, sequence LIMIT 1"
    );
    tx.find(sql, &[id.into(), create_time.into()], decode)
}

/// Whether the log records any action on the token or user of this ID, or the rotation that created it.
pub fn is_target(tx: &Tx<'_>, id: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM audit WHERE target = ?1 AND target <> '' \
               UNION ALL SELECT 1 FROM audit WHERE successor_id = ?1 AND successor_id <> '' LIMIT 1";
    Ok(tx.find(sql, &[id.into()], |_| Ok(()))?.is_some())
}

/// The row of the rotation that created `successor`.
pub fn find_rotation(tx: &Tx<'_>, successor: TokenId) -> Result<Option<AuditRow>, Error> {
    let sql = select!(
        "WHERE successor_id = ?1 AND successor_id <> '' AND +action = 'token.rotate' AND +sequence > 0 \
         ORDER BY time, sequence LIMIT 1"
    );
    tx.find(sql, &[successor.into()], decode)
}

pub(super) fn decode(row: &Row<'_>) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        sequence: row.int("sequence")?,
        // No range check: a verification must see tampered times as they are.
        time: Timestamp::from_micros(row.int("time")?),
        actor: row.string("actor")?,
        credential_id: row.string("credential_id")?,
        target: row.string("target")?,
        action: row.string("action")?,
        outcome: row.string("outcome")?,
        count: u32::try_from(row.int("count")?).map_err(|_| row.bad("count", "a count"))?,
        request_id: row.string("request_id")?,
        client_request_id: row.string("client_request_id")?,
        ip: row.string("ip")?,
        user_agent: row.string("user_agent")?,
        hash: ChainHash::from_bytes(row.bytes("hash")?),
        format: u32::try_from(row.int("format")?).map_err(|_| row.bad("format", "a format"))?,
        credential_kind: row.string("credential_kind")?,
        successor_id: row.string("successor_id")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{sqlite, tests::samples::event};

    #[test]
    fn rows_are_numbered_without_gaps_and_chained() {
        let connection = sqlite::in_memory();
        let tx = sqlite::transaction(&connection);
        assert_eq!(head(&tx).unwrap(), ChainHead::START);
        let heads = ["one", "two", "three"].map(|action| append(&tx, event(action)).unwrap());
        assert_eq!(head(&tx).unwrap(), heads[2]);
        let rows = list(&tx, None, false, 9).unwrap();
        let mut before = ChainHead::START;
        for (row, head) in rows.iter().zip(heads) {
            assert_eq!(row.sequence, before.sequence + 1);
            assert_eq!(row.hash, row.compute_hash(before.hash));
            assert_eq!((row.sequence, row.hash), (head.sequence, head.hash));
            assert_eq!(find(&tx, row.sequence).unwrap().as_ref(), Some(row));
            before = head;
        }
        let expected = AuditRow::append(event("one"), 1, ChainHead::START.hash);
        assert_eq!(rows[0], expected);
        assert_eq!(list(&tx, Some(1), false, 1).unwrap(), rows[1..2]);
        assert_eq!(list(&tx, Some(3), true, 1).unwrap(), rows[1..2]);
        assert_eq!(list(&tx, None, true, 1).unwrap(), rows[2..]);
        assert_eq!(find(&tx, 4).unwrap(), None);
    }
}
