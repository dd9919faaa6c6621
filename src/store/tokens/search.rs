//! Searching all tokens. A filter that fits few of many would keep a read transaction open for long, so one
//! call looks at a bounded number of rows and says where to go on.

use super::{
    COLUMNS, decode,
    filter::{Conditions, TokenFilter, UNEXPIRED},
};
use crate::{
    domain::{
        id::{Id, TokenId},
        page::Position,
        time::Timestamp,
        token::{Token, TokenState},
    },
    store::{
        error::Error,
        keyset::Keyset,
        tx::{Row, Tx},
        value::Value,
    },
};

/// So many rows of the whole table one call looks at.
const MAX_ROWS: u32 = 10_000;

/// What one call of [`search`] found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// After which place to go on; `None`: there is no more.
    pub next: Option<Position>,
}

/// How many tokens there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Neither expired nor disabled.
    pub live: u64,
    /// Disabled, and not expired.
    pub disabled: u64,
    /// Expired, and not purged.
    pub expired: u64,
}

/// Where the rows are found that may fit.
#[derive(Clone, Copy)]
enum Among {
    /// Anywhere: by ID, a part of the table at a time.
    All,
    /// Along the index of the user's list.
    OfUser,
    /// So few that they are taken all at once, and put in order afterwards.
    Children,
    Family(TokenId),
}

impl Among {
    const fn of(filter: &TokenFilter) -> Self {
        match (filter.family, filter.parent, filter.user) {
            (Some(family), _, _) => Self::Family(family),
            (None, Some(_), _) => Self::Children,
            (None, None, Some(_)) => Self::OfUser,
            (None, None, None) => Self::All,
        }
    }
}

/// The IDs between two, both excluded.
#[derive(Clone, Copy)]
struct Span {
    low: u128,
    high: u128,
}

impl Span {
    fn new(filter: &TokenFilter, after: Option<Position>, reverse: bool) -> Self {
        let (low, high) = filter.id_range();
        match after {
            None => Self { low, high },
            Some(after) if reverse => Self {
                low,
                high: high.min(after.minor),
            },
            Some(after) => Self {
                low: low.max(after.minor),
                high,
            },
        }
    }

    /// Keeps the first [`MAX_ROWS`] of the table's rows; the last of these, if there may be more after it.
    fn cut(&mut self, tx: &Tx<'_>, reverse: bool) -> Result<Option<Position>, Error> {
        let order = if reverse { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT id FROM tokens WHERE id > ?1 AND id < ?2 ORDER BY id {order} LIMIT 1 OFFSET ?3"
        );
        let params = [id(self.low), id(self.high), (MAX_ROWS - 1).into()];
        let last = tx.find(&sql, &params, |row| row.parse(0, "an ID", TokenId::parse))?;
        let Some(minor) = last.map(|id| id.id().as_u128()) else {
            return Ok(None);
        };
        if reverse {
            self.low = minor.saturating_sub(1);
        } else {
            self.high = minor.saturating_add(1);
        }
        Ok(Some(Position { major: 0, minor }))
    }

    fn condition(self, of: &mut Conditions<'_>) -> String {
        let (low, high) = (of.add(id(self.low)), of.add(id(self.high)));
        format!("id > {low} AND id < {high}")
    }
}

fn id(number: u128) -> Value<'static> {
    Value::Id(Id::from_u128(number).encode())
}

/// At most `limit` tokens that `filter` selects, after `after` in the order of their creation: oldest first,
/// or newest first in `reverse`. It may find fewer, or none, and not be at the end.
pub fn search(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Found, Error> {
    let among = Among::of(filter);
    let mut span = Span::new(filter, after, reverse);
    let stop = match among {
        Among::All => span.cut(tx, reverse)?,
        _ => None,
    };
    let pattern = filter.pattern();
    let mut query = filter.conditions(now, &pattern);
    let keyset = Keyset::new(after, reverse);
    let (compare, order) = if reverse { ("<", "DESC") } else { (">", "ASC") };
    let more = query.sql.clone();
    let select = format!("SELECT {COLUMNS} FROM tokens WHERE {more}");
    let sql = match among {
        Among::All => {
            let (within, limit) = (span.condition(&mut query), query.add(limit));
            format!("{select} AND {within} ORDER BY id {order} LIMIT {limit}")
        }
        Among::OfUser => {
            let (time, id) = (query.add(keyset.create_time()), query.add(keyset.id()));
            let limit = query.add(limit);
            format!(
                "{select} AND (create_time, id) {compare} ({time}, {id}) \
                 ORDER BY create_time {order}, id {order} LIMIT {limit}"
            )
        }
        Among::Children => format!("{select} AND {}", span.condition(&mut query)),
        // The first of a family and the rest, each by its own index.
        Among::Family(first) => {
            let (first, within) = (query.add(first), span.condition(&mut query));
            format!(
                "{select} AND {within} AND id = {first} \
                 UNION ALL {select} AND {within} AND family_id <> id"
            )
        }
    };
    let mut tokens = tx.list(&sql, &query.params, |row| decode(row, 0))?;
    if matches!(among, Among::Children | Among::Family(_)) {
        tokens.sort_by_key(|token| token.id);
        if reverse {
            tokens.reverse();
        }
    }
    let limit = usize::try_from(limit).expect("32 bits fit a usize");
    if tokens.len() < limit {
        return Ok(Found { tokens, next: stop });
    }
    tokens.truncate(limit);
    let next = tokens.last().map(|token| Position {
        major: token.create_time.as_micros(),
        minor: token.id.id().as_u128(),
    });
    Ok(Found { tokens, next })
}

/// How many tokens [`search`] would find after `after`, oldest first, and where to go on counting.
pub fn count(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    after: Option<Position>,
) -> Result<(TokenCounts, Option<Position>), Error> {
    let among = Among::of(filter);
    let mut span = Span::new(filter, after, false);
    let pattern = filter.pattern();
    let mut query = filter.conditions(now, &pattern);
    let unexpired = UNEXPIRED.replace('?', &query.add(now));
    let select = format!(
        "SELECT count(*) FILTER (WHERE disabled = 0 AND {unexpired}), \
         count(*) FILTER (WHERE disabled = 1 AND {unexpired}), \
         count(*) FILTER (WHERE NOT {unexpired}) FROM tokens WHERE {}",
        query.sql
    );
    let (sql, stop) = match among {
        Among::All => {
            let stop = span.cut(tx, false)?;
            let within = span.condition(&mut query);
            (format!("{select} AND {within}"), stop)
        }
        Among::OfUser => (select, None),
        Among::Children | Among::Family(_) => {
            let few = search(tx, filter, now, after, false, u32::MAX)?;
            return Ok((TokenCounts::of(&few.tokens, now), None));
        }
    };
    let counts = tx.find(&sql, &query.params, counted)?;
    Ok((counts.unwrap_or_default(), stop))
}

impl TokenCounts {
    fn of(tokens: &[Token], now: Timestamp) -> Self {
        let number = |state| {
            let of_it = tokens
                .iter()
                .filter(|token| token.state(now) == Some(state));
            u64::try_from(of_it.count()).expect("a usize fits 64 bits")
        };
        Self {
            live: number(TokenState::Live),
            disabled: number(TokenState::Disabled),
            expired: number(TokenState::Expired),
        }
    }

    /// These and `more`.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            live: self.live + more.live,
            disabled: self.disabled + more.disabled,
            expired: self.expired + more.expired,
        }
    }
}

fn counted(row: &Row<'_>) -> Result<TokenCounts, Error> {
    let number = |at| Ok(u64::try_from(row.int(at)?).unwrap_or(0));
    Ok(TokenCounts {
        live: number(0)?,
        disabled: number(1)?,
        expired: number(2)?,
    })
}

/// The token, if `filter` selects it.
pub fn find_selected(
    tx: &Tx<'_>,
    filter: &TokenFilter,
    now: Timestamp,
    id: TokenId,
) -> Result<Option<Token>, Error> {
    let pattern = filter.pattern();
    let mut query = filter.conditions(now, &pattern);
    let id = query.add(id);
    // What else it must meet is looked at in its row.
    let sql = format!(
        "SELECT {COLUMNS} FROM tokens WHERE id = {id} AND {}",
        query.sql
    );
    tx.find(&sql, &query.params, |row| decode(row, 0))
}

#[cfg(test)]
mod tests;
