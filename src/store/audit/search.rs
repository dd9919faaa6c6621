//! Searching the audit log. A search walks one index, that of what narrows it most, and looks at the rest in the
//! rows; a call looks at a bounded number of them and says where to go on. Each index is one more page that every
//! write of the log touches: there is none of the time alone, for which all actions are walked side by side.

use super::{COLUMNS, decode};
use crate::{
    domain::{audit::AuditRow, id::TokenId, page::Position, time::Timestamp},
    store::{conditions::Conditions, error::Error, tx::Tx},
};

/// So many rows one call looks at. Fewer in the unit tests, which make more rows than that.
const MAX_ROWS: u32 = if cfg!(test) { 1_000 } else { 10_000 };

/// What the actors begin with that are processes on the server's machine.
const LOCAL: &str = "local:";
/// What follows all of these in their order.
const AFTER_LOCAL: &str = "local;";
/// What follows all actions in their order.
const AFTER_ACTIONS: &str = "\u{10ffff}";

/// Which rows. One must meet all that is set.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// What somebody did.
    pub actor: Option<Actor>,
    /// What was done with this token.
    pub credential: Option<TokenId>,
    /// What was done to this one; of a token that took another's place, the rotation, too.
    pub target: Option<String>,
    /// What was done; none: anything.
    pub actions: Vec<&'static str>,
    /// What was done then or later.
    pub from: Option<Timestamp>,
    /// What was done earlier.
    pub before: Option<Timestamp>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// This one.
    Is(String),
    /// Any process on the server's machine.
    Local,
}

/// What one call of [`search`] found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// After which place to go on; `None`: there is no more.
    pub next: Option<Position>,
}

/// What the rows that a walk meets have in common: a column and its value.
type Key = (&'static str, String);

/// A row's place: by its time, and then by its number, which is never below 1.
type Place = (i64, i64);

/// At most `limit` rows that `filter` selects, after `after` by time: oldest first, or newest first in `reverse`.
/// It may find fewer, or none, and not be at the end.
pub fn search(
    tx: &Tx<'_>,
    filter: &AuditFilter,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Found, Error> {
    let keys = filter.keys(tx)?;
    let share = MAX_ROWS / u32::try_from(keys.len().max(1)).unwrap_or(MAX_ROWS);
    let count = usize::try_from(limit).expect("32 bits fit a usize");
    let mut span = Span::new(filter, after, reverse);
    let (mut rows, mut stop) = (Vec::new(), None);
    for key in &keys {
        if !filter.is_met_along(key) {
            stop = span.cut(tx, key, share.max(1))?.or(stop);
        }
        let mut query = span.query(key);
        filter.narrow(key, &mut query);
        let limit = query.add(limit);
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE {} ORDER BY {} LIMIT {limit}",
            query.sql,
            span.order()
        );
        rows.extend(tx.list(&sql, &query.params, decode)?);
        // This walk was cut before some that others found.
        rows.retain(|row| span.has(place(row)));
        rows.sort_by_key(place);
        if reverse {
            rows.reverse();
        }
        if let Some(last) = count.checked_sub(1).and_then(|last| rows.get(last)) {
            // What the next walks would find after it is not asked for.
            stop = Some(place(last));
            span.end_with(place(last));
            rows.truncate(count);
        }
    }
    let next = stop.map(position);
    Ok(Found { rows, next })
}

const fn place(row: &AuditRow) -> Place {
    (row.time.as_micros(), row.sequence)
}

/// A place as a page token has it.
fn position((time, sequence): Place) -> Position {
    Position {
        major: time,
        minor: u128::try_from(sequence).unwrap_or(0),
    }
}

impl AuditFilter {
    /// Whether it selects all rows.
    pub const fn is_empty(&self) -> bool {
        self.actor.is_none()
            && self.credential.is_none()
            && self.target.is_none()
            && self.actions.is_empty()
            && self.from.is_none()
            && self.before.is_none()
    }

    /// Where a row stands in what [`search`] finds.
    pub fn position(row: &AuditRow) -> Position {
        position(place(row))
    }

    /// What to walk along. A target has the fewest rows, an action most.
    fn keys(&self, tx: &Tx<'_>) -> Result<Vec<Key>, Error> {
        if let Some(target) = &self.target {
            let columns = ["target", "successor_id"];
            return Ok(columns.map(|it| (it, target.clone())).into());
        }
        let (column, values) = match &self.actor {
            Some(Actor::Is(actor)) => ("actor", vec![actor.clone()]),
            Some(Actor::Local) => ("actor", list_values(tx, "actor", LOCAL, AFTER_LOCAL)?),
            None if self.actions.is_empty() => {
                ("action", list_values(tx, "action", "", AFTER_ACTIONS)?)
            }
            None => {
                let actions = self.actions.iter();
                ("action", actions.map(|it| (*it).to_owned()).collect())
            }
        };
        Ok(values.into_iter().map(|it| (column, it)).collect())
    }

    /// Whether all rows along the key meet the filter.
    fn is_met_along(&self, key: &Key) -> bool {
        let mut rest = Conditions::default();
        self.narrow(key, &mut rest);
        rest.sql.is_empty()
    }

    /// Adds what a row must meet besides the key. The `+` keeps the engine from walking along that.
    fn narrow<'a>(&'a self, key: &Key, query: &mut Conditions<'a>) {
        let key = key.0;
        match &self.actor {
            Some(_) if key == "actor" => {}
            Some(Actor::Is(actor)) => query.and("+actor = ?", actor.as_str()),
            Some(Actor::Local) => {
                query.and("+actor > ?", LOCAL);
                query.and("+actor < ?", AFTER_LOCAL);
            }
            None => {}
        }
        if let Some(id) = self.credential {
            query.and("credential_id = ?", id);
        }
        if !self.actions.is_empty() && key != "action" {
            let actions: Vec<_> = self.actions.iter().map(|it| query.add(*it)).collect();
            let condition = format!(" AND +action IN ({})", actions.join(", "));
            query.sql.push_str(&condition);
        }
    }
}

/// The values of `column` between these two that stand in the log: a leap for each, of which there are few.
fn list_values(tx: &Tx<'_>, column: &str, after: &str, before: &str) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT {column} FROM audit WHERE {column} > ?1 AND {column} < ?2 ORDER BY {column} LIMIT 1"
    );
    let mut values: Vec<String> = Vec::new();
    loop {
        let last = values.last().map_or(after, String::as_str);
        match tx.find(&sql, &[last.into(), before.into()], |row| row.string(0))? {
            Some(value) => values.push(value),
            None => return Ok(values),
        }
    }
}

/// The rows between two places, both excluded.
#[derive(Clone, Copy)]
struct Span {
    low: Place,
    high: Place,
    reverse: bool,
}

impl Span {
    fn new(filter: &AuditFilter, after: Option<Position>, reverse: bool) -> Self {
        // No row has the number 0: from there on are all of that time.
        let bound = |time: Option<Timestamp>, none| (time.map_or(none, Timestamp::as_micros), 0);
        let mut span = Self {
            low: bound(filter.from, i64::MIN),
            high: bound(filter.before, i64::MAX),
            reverse,
        };
        if let Some(Position { major, minor }) = after {
            let after = (major, i64::try_from(minor).unwrap_or(i64::MAX));
            if reverse {
                span.high = after;
            } else {
                span.low = after;
            }
        }
        span
    }

    fn has(self, place: Place) -> bool {
        place > self.low && place < self.high
    }

    /// Keeps what does not come after `last`.
    const fn end_with(&mut self, (time, sequence): Place) {
        if self.reverse {
            self.low = (time, sequence - 1);
        } else {
            self.high = (time, sequence + 1);
        }
    }

    /// Keeps the first `count` rows; the last of these, if there may be more after it.
    fn cut(&mut self, tx: &Tx<'_>, key: &Key, count: u32) -> Result<Option<Place>, Error> {
        let mut query = self.query(key);
        let skip = query.add(count - 1);
        let sql = format!(
            "SELECT time, sequence FROM audit WHERE {} ORDER BY {} LIMIT 1 OFFSET {skip}",
            query.sql,
            self.order()
        );
        let last = tx.find(&sql, &query.params, |row| Ok((row.int(0)?, row.int(1)?)))?;
        if let Some(last) = last {
            self.end_with(last);
        }
        Ok(last)
    }

    const fn order(self) -> &'static str {
        if self.reverse {
            "time DESC, sequence DESC"
        } else {
            "time, sequence"
        }
    }

    /// The rows of the span along the key. Only those of the log, which begins with 1.
    fn query(self, (column, value): &Key) -> Conditions<'_> {
        let mut query = Conditions::default();
        // The empty ones are in no index.
        let along = format!("{column} = ? AND {column} <> '' AND ");
        query.put(&along, value.as_str());
        let [low, high] = [self.low, self.high].map(|(time, sequence)| {
            let (time, sequence) = (query.add(time), query.add(sequence));
            format!("({time}, {sequence})")
        });
        let within =
            format!("(time, sequence) > {low} AND (time, sequence) < {high} AND +sequence > 0");
        query.sql.push_str(&within);
        query
    }
}

#[cfg(test)]
mod tests;
