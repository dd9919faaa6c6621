//! Counts all tokens, one range of rows at a time.

use super::filter::UNEXPIRED;
use crate::{
    domain::time::Timestamp,
    metrics::TokenCounts,
    store::{error::Error, tx::Tx},
};

/// The largest row number. Rows are numbered from 1, with gaps.
pub fn last_row(tx: &Tx<'_>) -> Result<i64, Error> {
    let last = tx.number("SELECT coalesce(max(rowid), 0) FROM tokens", &[])?;
    Ok(i64::try_from(last).unwrap_or(i64::MAX))
}

/// The number of tokens in each state at `now`, among the rows after `after` up to and including `until`.
pub fn count_by_state(
    tx: &Tx<'_>,
    now: Timestamp,
    after: i64,
    until: i64,
) -> Result<TokenCounts, Error> {
    let unexpired = UNEXPIRED.replace('?', "?1");
    let sql = format!(
        "SELECT count(*) FILTER (WHERE delete_time IS NULL AND disabled = 0 AND {unexpired}), \
         count(*) FILTER (WHERE delete_time IS NULL AND disabled = 1 AND {unexpired}), \
         count(*) FILTER (WHERE delete_time IS NULL AND NOT {unexpired}), \
         count(*) FILTER (WHERE delete_time IS NOT NULL) \
         FROM tokens WHERE rowid > ?2 AND rowid <= ?3"
    );
    let counts = tx.find(&sql, &[now.into(), after.into(), until.into()], |row| {
        let count = |at| Ok::<_, Error>(u64::try_from(row.int(at)?).unwrap_or_default());
        Ok(TokenCounts {
            active: count(0)?,
            disabled: count(1)?,
            expired: count(2)?,
            deleted: count(3)?,
        })
    })?;
    Ok(counts.unwrap_or_default())
}
