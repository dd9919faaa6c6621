//! The live tokens of a user, a parent or a family. They are two ranges of an index: those that never expire, and
//! those that expire in the future. With an OR of both conditions, the engine would pass over every expired row.

use super::{
    COLUMNS, decode, decode_counts,
    filter::{Lifetime, TokenFilter},
};
use crate::{
    domain::{
        id::{TokenId, UserId},
        page::Position,
        time::Timestamp,
        token::Token,
    },
    metrics::TokenCounts,
    store::{conditions::Keyset, error::Error, tx::Tx},
};

/// Counts the live tokens matching `$key`, with the key's value as `?1` and the current time as `?2`.
macro_rules! count {
    ($key:literal) => {
        concat!(
            "SELECT (SELECT count(*) FROM tokens WHERE delete_time IS NULL AND expire_time IS NULL AND ",
            $key,
            ") + (SELECT count(*) FROM tokens WHERE delete_time IS NULL AND expire_time > ?2 AND ",
            $key,
            ")"
        )
    };
}

/// How many live tokens `user` has.
pub fn count_live(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, Error> {
    tx.number(count!("user_id = ?1"), &[user.into(), now.into()])
}

/// When any live token of `user` was last used.
pub fn last_use_of_live(
    tx: &Tx<'_>,
    user: UserId,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT max(last_use_time) AS last_use_time FROM tokens WHERE delete_time IS NULL AND expire_time IS NULL \
               AND user_id = ?1 UNION ALL SELECT max(last_use_time) FROM tokens \
               WHERE delete_time IS NULL AND expire_time > ?2 AND user_id = ?1";
    let times = tx.list(sql, &[user.into(), now.into()], |row| {
        row.opt_time("last_use_time")
    })?;
    Ok(times.into_iter().flatten().max())
}

/// How many live tokens were created with `parent`.
pub fn count_live_children(tx: &Tx<'_>, parent: TokenId, now: Timestamp) -> Result<u64, Error> {
    tx.number(count!("parent_id = ?1"), &[parent.into(), now.into()])
}

/// How many members of a family are live. The family index does not contain the first.
pub fn count_live_family(tx: &Tx<'_>, family: TokenId, now: Timestamp) -> Result<u64, Error> {
    let params = [family.into(), now.into()];
    let first = tx.number(count!("id = ?1"), &params)?;
    Ok(first + tx.number(count!("family_id = ?1 AND family_id <> id"), &params)?)
}

/// At most `limit` of the live tokens that `filter` selects, after position `after`, in ascending order, or
/// descending in `reverse`. The filter must name a user, parent or family, and exclude expired tokens.
pub(super) fn list(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Vec<Token>, Error> {
    let keyset = Keyset::new(after, reverse);
    let (compare, order) = if reverse { ("<", "DESC") } else { (">", "ASC") };
    let pattern = filter.pattern();
    let mut tokens = Vec::new();
    for lifetime in filter.lifetimes() {
        // The index has a user's tokens without expiry in order. The others are sorted, which the `+` marks as
        // intended: quotas keep them few, and no index has just them in order.
        let is_in_order = *lifetime == Lifetime::Endless && filter.is_of_user();
        let order_by = format!("{}{}", if is_in_order { "" } else { "+" }, filter.order());
        for family in filter.family_parts() {
            let mut query = filter.conditions(now, &pattern, Some(*lifetime), *family);
            let (time, id) = (query.add(keyset.time()), query.add(keyset.id()));
            let limit = query.add(limit);
            let sql = format!(
                "SELECT {COLUMNS} FROM tokens WHERE {} AND ({order_by}, id) {compare} ({time}, {id}) \
                 ORDER BY {order_by} {order}, id {order} LIMIT {limit}",
                query.sql
            );
            tokens.extend(tx.list(&sql, &query.params, decode)?);
        }
    }
    tokens.sort_by_key(|token| (filter.position(token).major, token.id));
    if reverse {
        tokens.reverse();
    }
    tokens.truncate(usize::try_from(limit).expect("32 bits fit a usize"));
    Ok(tokens)
}

/// How many tokens [`list`] would return without a limit, by state.
pub(super) fn count(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    after: Option<Position>,
) -> Result<TokenCounts, Error> {
    let keyset = Keyset::new(after, false);
    let pattern = filter.pattern();
    let mut counts = TokenCounts::default();
    for lifetime in filter.lifetimes() {
        for family in filter.family_parts() {
            let mut query = filter.conditions(now, &pattern, Some(*lifetime), *family);
            let (time, id) = (query.add(keyset.time()), query.add(keyset.id()));
            let sql = format!(
                "SELECT count(*) FILTER (WHERE disabled = 0) AS active, \
                 count(*) FILTER (WHERE disabled = 1) AS disabled, 0 AS expired, 0 AS deleted \
                 FROM tokens WHERE {} AND (+{}, id) > ({time}, {id})",
                query.sql,
                filter.order()
            );
            let part = tx.find(&sql, &query.params, decode_counts)?;
            counts = counts.plus(part.unwrap_or_default());
        }
    }
    Ok(counts)
}
