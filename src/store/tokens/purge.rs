//! Purges tokens that ended long ago, and a user's ended tokens beyond a number of recent ones.
//!
//! Only the purged tokens' credentials become stale.

use crate::{
    domain::{
        id::{TokenId, UserId},
        time::Timestamp,
    },
    store::{error::Error, row::Value, tx::Tx},
};

/// Purges at most `limit` tokens that were deleted or expired by `cutoff`, and returns how many. If fewer than
/// `limit`, none are left.
pub fn purge(tx: &Tx<'_>, cutoff: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = "SELECT id FROM tokens WHERE delete_time <= ?1 ORDER BY delete_time LIMIT ?2";
    let expired = "SELECT id FROM tokens WHERE delete_time IS NULL AND expire_time <= ?1 \
                   ORDER BY expire_time LIMIT ?2";
    let first = remove(tx, deleted, &[cutoff.into(), limit.into()])?;
    let rest = i64::from(limit).saturating_sub_unsigned(first);
    Ok(first + remove(tx, expired, &[cutoff.into(), rest.into()])?)
}

/// A user's (`?1`) tokens that have ended by `?2`, without the newest `?3`, at most `?4`. An index has both parts in
/// order.
const ENDED: &str = "SELECT id, delete_time AS end_time, create_time FROM tokens \
                     WHERE user_id = ?1 AND delete_time IS NOT NULL \
                     UNION ALL SELECT id, expire_time AS end_time, create_time FROM tokens \
                     WHERE user_id = ?1 AND delete_time IS NULL AND expire_time <= ?2 \
                     ORDER BY end_time DESC, create_time DESC, id DESC LIMIT ?4 OFFSET ?3";

/// Purges at most `limit` of the user's ended tokens, keeping the newest `keep`, and returns how many. If fewer than
/// `limit`, none are left.
pub fn purge_ended(
    tx: &Tx<'_>,
    user: UserId,
    now: Timestamp,
    keep: u32,
    limit: u32,
) -> Result<u64, Error> {
    let params = [user.into(), now.into(), keep.into(), limit.into()];
    remove(tx, ENDED, &params)
}

/// Checks the next `limit` users with tokens, in order of their IDs after `after`, deleted users included. Returns
/// those with more than `keep` ended tokens, and the user to continue after; `None` at the end.
pub fn find_users_over_limit(
    tx: &Tx<'_>,
    after: Option<UserId>,
    now: Timestamp,
    keep: u32,
    limit: u32,
) -> Result<(Vec<UserId>, Option<UserId>), Error> {
    let (mut found, mut last) = (Vec::new(), after);
    for _ in 0..limit {
        last = next_user(tx, last)?;
        let Some(user) = last else { break };
        let params = [user.into(), now.into(), keep.into(), 1_u32.into()];
        if tx.find(ENDED, &params, |_| Ok(()))?.is_some() {
            found.push(user);
        }
    }
    Ok((found, last))
}

/// The first user after `after` that has tokens, found by a seek in each of two indexes.
fn next_user(tx: &Tx<'_>, after: Option<UserId>) -> Result<Option<UserId>, Error> {
    let after = after.map_or(Value::Text(""), Value::from);
    let [kept, deleted] = [
        "SELECT user_id FROM tokens WHERE delete_time IS NULL AND user_id > ?1 \
         ORDER BY user_id LIMIT 1",
        "SELECT user_id FROM tokens WHERE delete_time IS NOT NULL AND user_id > ?1 \
         ORDER BY user_id LIMIT 1",
    ]
    .map(|sql| {
        tx.find(sql, &[after], |row| {
            row.parse("user_id", "an ID", UserId::parse)
        })
    });
    Ok(kept?.into_iter().chain(deleted?).min())
}

/// Removes the tokens whose IDs `sql` selects.
fn remove(tx: &Tx<'_>, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
    let ids = tx.list(sql, params, |row| row.parse("id", "an ID", TokenId::parse))?;
    let mut removed = 0;
    for id in ids {
        removed += u64::from(tx.remove_token(id)?);
    }
    Ok(removed)
}
