//! Searches all tokens. A selective filter could keep a read transaction open for long, so a call scans a bounded
//! number of rows and returns where to continue. Searches for live tokens of a user, parent or family are in
//! `live.rs`, which scans no other rows.

use super::{
    COLUMNS, decode, decode_counts,
    filter::{Members, TokenFilter, UNEXPIRED},
    live,
};
use crate::{
    domain::{
        id::{Id, TokenId, UserId},
        page::Position,
        time::Timestamp,
        token::Token,
    },
    metrics::TokenCounts,
    store::{conditions::Conditions, error::Error, row::Value, tx::Tx},
};

/// Maximum number of rows that a call scans. Smaller in unit tests, which need to exceed it.
pub(in crate::store) const MAX_ROWS: u32 = if cfg!(test) { 1_000 } else { 10_000 };

/// The result of a [`search`] call.
#[derive(Clone, Debug)]
pub struct TokenPage {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Where to continue; `None` at the end.
    pub next: Option<Position>,
}

/// The index range to scan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexRange {
    All,
    OfUser(UserId),
    Children(TokenId),
    Family(TokenId),
    Expiring,
}

impl IndexRange {
    const fn of(filter: &TokenFilter) -> Self {
        match (filter.family, filter.parent, filter.user) {
            (Some(family), _, _) => Self::Family(family),
            (None, Some(parent), _) => Self::Children(parent),
            (None, None, Some(user)) => Self::OfUser(user),
            (None, None, None) if filter.expiring_before.is_some() => Self::Expiring,
            (None, None, None) => Self::All,
        }
    }

    /// Adds the conditions on the index's leading columns.
    fn key(self, of: &mut Conditions<'_>) {
        match self {
            Self::All => of.sql.push_str("TRUE"),
            Self::Expiring => of
                .sql
                .push_str("delete_time IS NULL AND expire_time IS NOT NULL"),
            Self::OfUser(user) => of.put("user_id = ? AND delete_time IS NULL", user),
            Self::Children(parent) => of.put("parent_id = ? AND delete_time IS NULL", parent),
            Self::Family(family) => of.put("family_id = ? AND family_id <> id", family),
        }
    }

    /// The time column that orders the rows. `None`: they are ordered by ID, which begins with the create time.
    const fn time(self) -> Option<&'static str> {
        match self {
            Self::OfUser(_) => Some("create_time"),
            Self::Expiring => Some("expire_time"),
            Self::All | Self::Children(_) | Self::Family(_) => None,
        }
    }

    fn order(self, reverse: bool) -> String {
        let order = if reverse { "DESC" } else { "ASC" };
        match self.time() {
            Some(time) => format!("{time} {order}, id {order}"),
            None => format!("id {order}"),
        }
    }
}

/// The rows between two positions, exclusive.
#[derive(Clone, Copy)]
struct Span {
    index: IndexRange,
    low: Position,
    high: Position,
}

impl Span {
    fn new(filter: &TokenFilter, now: Timestamp, after: Option<Position>, reverse: bool) -> Self {
        let index = IndexRange::of(filter);
        let (low, high) = filter.id_range();
        let time = |bound: Option<Timestamp>, none| bound.map_or(none, Timestamp::as_micros);
        // No ID is zero, so the bound includes all rows of its time.
        let by_time = [
            (time(filter.created_from, i64::MIN), 0),
            (time(filter.created_before, i64::MAX), 0),
        ];
        let by_expiry = [
            (now.as_micros(), u128::MAX),
            (time(filter.expiring_before, i64::MAX), 0),
        ];
        let [low, high] = match index {
            IndexRange::OfUser(_) => by_time,
            IndexRange::Expiring => by_expiry,
            IndexRange::All | IndexRange::Children(_) | IndexRange::Family(_) => {
                [(0, low), (0, high)]
            }
        }
        .map(|(major, minor)| Position { major, minor });
        let mut span = Self { index, low, high };
        match after {
            None => {}
            Some(after) if reverse => span.high = span.earlier(high, after),
            Some(after) => span.low = span.later(low, after),
        }
        span
    }

    fn sort_key(&self, position: Position) -> (i64, u128) {
        let major = self.index.time().map_or(0, |_| position.major);
        (major, position.minor)
    }

    fn earlier(&self, one: Position, other: Position) -> Position {
        if self.sort_key(one) < self.sort_key(other) {
            one
        } else {
            other
        }
    }

    fn later(&self, one: Position, other: Position) -> Position {
        if self.sort_key(one) > self.sort_key(other) {
            one
        } else {
            other
        }
    }

    /// Keeps the first [`MAX_ROWS`] rows, and returns the last of them if there may be more.
    fn cut(&mut self, tx: &Tx<'_>, reverse: bool) -> Result<Option<Position>, Error> {
        let mut query = Conditions::default();
        self.index.key(&mut query);
        let (within, skip) = (self.condition(&mut query), query.add(MAX_ROWS - 1));
        let time = self.index.time().unwrap_or("create_time");
        let sql = format!(
            "SELECT {time}, id FROM tokens WHERE {} AND {within} ORDER BY {} LIMIT 1 OFFSET {skip}",
            query.sql,
            self.index.order(reverse)
        );
        let last = tx.find(&sql, &query.params, |row| {
            let major = row.int(time)?;
            let id = row.parse("id", "an ID", TokenId::parse)?;
            let minor = id.id().as_u128();
            Ok(Position { major, minor })
        })?;
        let Some(stop) = last else { return Ok(None) };
        if reverse {
            self.low = Position {
                minor: stop.minor.saturating_sub(1),
                ..stop
            };
        } else {
            self.high = Position {
                minor: stop.minor.saturating_add(1),
                ..stop
            };
        }
        Ok(Some(stop))
    }

    fn condition(self, of: &mut Conditions<'_>) -> String {
        let (low, high) = (of.add(id(self.low.minor)), of.add(id(self.high.minor)));
        let Some(time) = self.index.time() else {
            return format!("id > {low} AND id < {high}");
        };
        let (from, to) = (of.add(self.low.major), of.add(self.high.major));
        format!(
            "{time} IS NOT NULL AND ({time}, id) > ({from}, {low}) AND ({time}, id) < ({to}, {high})"
        )
    }
}

fn id(number: u128) -> Value<'static> {
    Value::Id(Id::from_u128(number).encode())
}

/// At most `limit` tokens that `filter` selects, after position `after`, by create time, or by expiry for a filter on
/// tokens that expire soon: oldest first, or newest first in `reverse`. A call may return fewer tokens, or none,
/// before the end is reached.
pub fn search(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<TokenPage, Error> {
    let mut span = Span::new(filter, now, after, reverse);
    let (mut tokens, stop) = if is_of_few(filter) {
        let live = live::list(tx, filter, now, after, reverse, limit)?;
        (live, None)
    } else {
        let stop = span.cut(tx, reverse)?;
        let pattern = filter.pattern();
        let mut tokens = Vec::new();
        for members in filter.family_parts() {
            let mut query = filter.conditions(now, &pattern, None, *members);
            let (within, limit) = (span.condition(&mut query), query.add(limit));
            let sql = format!(
                "SELECT {COLUMNS} FROM tokens WHERE {} AND {within} ORDER BY {} LIMIT {limit}",
                query.sql,
                span.index.order(reverse)
            );
            let part = tx.list(&sql, &query.params, decode)?;
            tokens.extend(part);
        }
        if matches!(span.index, IndexRange::Family(_)) {
            tokens.sort_by_key(|token| token.id);
            if reverse {
                tokens.reverse();
            }
        }
        (tokens, stop)
    };
    let limit = usize::try_from(limit).expect("32 bits fit a usize");
    if tokens.len() < limit {
        return Ok(TokenPage { tokens, next: stop });
    }
    tokens.truncate(limit);
    let next = tokens.last().map(|token| filter.position(token));
    Ok(TokenPage { tokens, next })
}

/// Whether the filter selects only live tokens of a user, parent or family. Quotas keep those few, so they are read
/// all at once.
const fn is_of_few(filter: &TokenFilter) -> bool {
    filter.is_live_only()
        && !matches!(
            IndexRange::of(filter),
            IndexRange::All | IndexRange::Expiring
        )
}

/// How many tokens [`search`] would find after `after`, oldest first, and where to continue counting.
pub fn count(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    after: Option<Position>,
) -> Result<(TokenCounts, Option<Position>), Error> {
    if is_of_few(filter) {
        return Ok((live::count(tx, filter, now, after)?, None));
    }
    let mut span = Span::new(filter, now, after, false);
    let stop = span.cut(tx, false)?;
    let pattern = filter.pattern();
    let mut counts = TokenCounts::default();
    for members in filter.family_parts() {
        let mut query = filter.conditions(now, &pattern, None, *members);
        let unexpired = UNEXPIRED.replace('?', &query.add(now));
        let within = span.condition(&mut query);
        let sql = format!(
            "SELECT count(*) FILTER (WHERE disabled = 0 AND {unexpired}) AS active, \
             count(*) FILTER (WHERE disabled = 1 AND {unexpired}) AS disabled, \
             count(*) FILTER (WHERE NOT {unexpired}) AS expired, 0 AS deleted FROM tokens WHERE {} AND {within}",
            query.sql
        );
        let part = tx.find(&sql, &query.params, decode_counts)?;
        counts = counts.plus(part.unwrap_or_default());
    }
    Ok((counts, stop))
}

/// The largest row number. Rows are numbered from 1, with gaps.
pub fn last_row(tx: &Tx<'_>) -> Result<i64, Error> {
    let last = tx.number("SELECT coalesce(max(rowid), 0) FROM tokens", &[])?;
    Ok(i64::try_from(last).unwrap_or(i64::MAX))
}

/// Counts all tokens by state at `now`, among the rows after `after` up to and including `until`.
pub fn count_by_state(
    tx: &Tx<'_>,
    now: Timestamp,
    after: i64,
    until: i64,
) -> Result<TokenCounts, Error> {
    let unexpired = UNEXPIRED.replace('?', "?1");
    let sql = format!(
        "SELECT count(*) FILTER (WHERE delete_time IS NULL AND disabled = 0 AND {unexpired}) AS active, \
         count(*) FILTER (WHERE delete_time IS NULL AND disabled = 1 AND {unexpired}) AS disabled, \
         count(*) FILTER (WHERE delete_time IS NULL AND NOT {unexpired}) AS expired, \
         count(*) FILTER (WHERE delete_time IS NOT NULL) AS deleted \
         FROM tokens WHERE rowid > ?2 AND rowid <= ?3"
    );
    let params = [now.into(), after.into(), until.into()];
    Ok(tx.find(&sql, &params, decode_counts)?.unwrap_or_default())
}

/// The token, if `filter` selects it.
pub fn find_selected(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    id: TokenId,
) -> Result<Option<Token>, Error> {
    let pattern = filter.pattern();
    let mut query = filter.conditions(now, &pattern, None, Members::All);
    let id = query.add(id);
    // The row is found by its ID, and the filter is checked on it.
    let sql = format!(
        "SELECT {COLUMNS} FROM tokens WHERE id = {id} AND {}",
        query.sql
    );
    tx.find(&sql, &query.params, decode)
}
