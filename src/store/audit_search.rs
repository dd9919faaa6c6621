//! Searches the audit log. A search scans one index, chosen by the filter's most selective field, and checks the
//! other conditions on each row. A call scans a bounded number of rows and returns where to continue. Every index
//! adds a page write to each insert, so there is none by time alone; such a search scans all actions side by side.

use super::audit::{COLUMNS, decode};
use crate::{
    domain::{
        audit::AuditRow, audit_action::ACTIONS, id::TokenId, page::Position, time::Timestamp,
    },
    store::{conditions::Conditions, error::Error, tx::Tx},
};

/// Maximum number of rows that a call scans. Smaller in unit tests, which need to exceed it.
const MAX_ROWS: u32 = if cfg!(test) { 1_000 } else { 10_000 };

/// The prefix of actors that are processes on the server's machine.
const LOCAL: &str = "local:";
/// The least text above every actor with that prefix.
const AFTER_LOCAL: &str = "local;";
/// Greater than every action.
const AFTER_ACTIONS: &str = "\u{10ffff}";

/// Selects rows. A row must satisfy every field that is set.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Who acted.
    pub actor: Option<Actor>,
    /// The token that the actor used.
    pub credential: Option<TokenId>,
    /// The token or user that was acted on. For a successor this includes its rotation.
    pub target: Option<String>,
    /// The actions; empty selects all.
    pub actions: Vec<&'static str>,
    /// The earliest time, inclusive.
    pub from: Option<Timestamp>,
    /// The latest time, exclusive.
    pub before: Option<Timestamp>,
}

/// Selects by actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A certain actor.
    Is(String),
    /// Any process on the server's machine.
    Local,
}

/// The result of a [`search`] call.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Where to continue; `None` at the end.
    pub next: Option<Position>,
}

/// A scan's index key: a column and the value that all of its rows have there.
type IndexKey = (&'static str, String);

/// A row's position: its time, then its sequence number, which is at least 1.
type AuditPosition = (i64, i64);

/// At most `limit` rows that `filter` selects, after position `after` by time: oldest first, or newest first in
/// `reverse`. A call may return fewer rows, or none, before the end is reached.
pub fn search(
    tx: &Tx<'_>,
    filter: &AuditFilter,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<AuditPage, Error> {
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
        // This scan may have stopped earlier than previous ones.
        rows.retain(|row| span.contains(position_of(row)));
        rows.sort_by_key(position_of);
        if reverse {
            rows.reverse();
        }
        if let Some(last) = count.checked_sub(1).and_then(|last| rows.get(last)) {
            // The remaining scans need not look beyond the last row of the page.
            stop = Some(position_of(last));
            span.end_with(position_of(last));
            rows.truncate(count);
        }
    }
    let next = stop.map(to_position);
    Ok(AuditPage { rows, next })
}

/// The lowest number among the first rows of each action at `from` or later; `None` if there is none.
pub fn first_since(tx: &Tx<'_>, from: Timestamp) -> Result<Option<i64>, Error> {
    let sql = "SELECT sequence FROM audit WHERE action = ?1 AND time >= ?2 ORDER BY time, sequence LIMIT 1";
    let mut first: Option<i64> = None;
    for action in ACTIONS {
        let found = tx.find(sql, &[action.into(), from.into()], |row| {
            row.int("sequence")
        })?;
        first = first.into_iter().chain(found).min();
    }
    Ok(first)
}

const fn position_of(row: &AuditRow) -> AuditPosition {
    (row.time.as_micros(), row.sequence)
}

/// The position as a page token encodes it.
fn to_position((time, sequence): AuditPosition) -> Position {
    Position {
        major: time,
        minor: u128::try_from(sequence).unwrap_or(0),
    }
}

impl AuditFilter {
    /// Whether the filter selects all rows.
    pub const fn is_empty(&self) -> bool {
        self.actor.is_none()
            && self.credential.is_none()
            && self.target.is_none()
            && self.actions.is_empty()
            && self.from.is_none()
            && self.before.is_none()
    }

    /// The position of a row in the order of [`search`].
    pub fn position(row: &AuditRow) -> Position {
        to_position(position_of(row))
    }

    /// Whether the filter selects `row`.
    pub fn selects(&self, row: &AuditRow) -> bool {
        let actor = match &self.actor {
            None => true,
            Some(Actor::Is(actor)) => *actor == row.actor,
            Some(Actor::Local) => row.actor.starts_with(LOCAL),
        };
        let is_target = |id: &String| *id == row.target || *id == row.successor_id;
        actor
            && self
                .credential
                .is_none_or(|id| id.to_string() == row.credential_id)
            && self.target.as_ref().is_none_or(is_target)
            && (self.actions.is_empty() || self.actions.contains(&&*row.action))
            && self.from.is_none_or(|from| row.time >= from)
            && self.before.is_none_or(|before| row.time < before)
    }

    /// The keys to scan. A target usually has the fewest rows, an action the most.
    fn keys(&self, tx: &Tx<'_>) -> Result<Vec<IndexKey>, Error> {
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

    /// Whether every row with this key satisfies the filter.
    fn is_met_along(&self, key: &IndexKey) -> bool {
        let mut rest = Conditions::default();
        self.narrow(key, &mut rest);
        rest.sql.is_empty()
    }

    /// Adds the conditions other than the key. The `+` keeps the engine from using an index on those columns.
    fn narrow<'a>(&'a self, key: &IndexKey, query: &mut Conditions<'a>) {
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

/// The distinct values of `column` between these bounds, exclusive: one index seek per value. There are few.
fn list_values(tx: &Tx<'_>, column: &str, after: &str, before: &str) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT {column} FROM audit WHERE {column} > ?1 AND {column} < ?2 ORDER BY {column} LIMIT 1"
    );
    let mut values: Vec<String> = Vec::new();
    loop {
        let last = values.last().map_or(after, String::as_str);
        match tx.find(&sql, &[last.into(), before.into()], |row| {
            row.string(column)
        })? {
            Some(value) => values.push(value),
            None => return Ok(values),
        }
    }
}

/// The rows between two positions, exclusive.
#[derive(Clone, Copy)]
struct Span {
    low: AuditPosition,
    high: AuditPosition,
    reverse: bool,
}

impl Span {
    fn new(filter: &AuditFilter, after: Option<Position>, reverse: bool) -> Self {
        // No sequence number is 0, so the bound includes all rows of its time.
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

    fn contains(self, at: AuditPosition) -> bool {
        at > self.low && at < self.high
    }

    /// Drops everything after `last`.
    const fn end_with(&mut self, (time, sequence): AuditPosition) {
        if self.reverse {
            self.low = (time, sequence - 1);
        } else {
            self.high = (time, sequence + 1);
        }
    }

    /// Keeps the first `count` rows, and returns the last of them if there may be more.
    fn cut(
        &mut self,
        tx: &Tx<'_>,
        key: &IndexKey,
        count: u32,
    ) -> Result<Option<AuditPosition>, Error> {
        let mut query = self.query(key);
        let skip = query.add(count - 1);
        let sql = format!(
            "SELECT time, sequence FROM audit WHERE {} ORDER BY {} LIMIT 1 OFFSET {skip}",
            query.sql,
            self.order()
        );
        let last = tx.find(&sql, &query.params, |row| {
            Ok((row.int("time")?, row.int("sequence")?))
        })?;
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

    /// Selects the rows of the span with this key. Sequence numbers start at 1; planted rows below are skipped.
    fn query(self, (column, value): &IndexKey) -> Conditions<'_> {
        let mut query = Conditions::default();
        // Empty values are not indexed.
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
