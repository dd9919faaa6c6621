//! The tokens' table. A deleted token's row stays as a tombstone until the purge.

mod census;
mod change;
mod credential;
mod family;
mod filter;
mod last_use;
mod search;

pub use census::{count_by_state, last_row};
pub use change::{adopt_children, mark_rotated, update};
pub use credential::{Credential, find_credential};
pub use family::{count_live_family, list_family};
pub use filter::{StateFilter, TokenFilter};
pub use last_use::note_uses;
pub use search::{Found, TokenCounts, count, find_selected, search};

use super::{
    error::Error,
    keyset::Keyset,
    tx::{Row, Tx},
};
use crate::domain::{
    cidr::CidrSet,
    id::{TokenId, UserId},
    note::Note,
    page::Position,
    scope::ScopeSet,
    time::Timestamp,
    token::{LastUse, Token},
    token_text::TokenHash,
};

macro_rules! columns {
    () => {
        "id, user_id, note, scopes, allowed_cidrs, create_time, expire_time, disabled, \
         parent_id, family_id, delete_time, successor_id, last_use_time, last_use_ip"
    };
}
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM tokens WHERE ", $rest)
    };
}
use {columns, select};

/// What [`decode`] reads.
const COLUMNS: &str = columns!();

/// Adds a token.
pub fn insert(tx: &Tx<'_>, token: &Token, hash: &TokenHash) -> Result<(), Error> {
    let (scopes, cidrs) = (token.scopes.to_string(), token.allowed_cidrs.to_string());
    let sql = "INSERT INTO tokens (id, user_id, note, scopes, allowed_cidrs, create_time, expire_time, \
               disabled, parent_id, family_id, delete_time, hash) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let params = [
        token.id.into(),
        token.user_id.into(),
        token.note.as_str().into(),
        scopes.as_str().into(),
        cidrs.as_str().into(),
        token.create_time.into(),
        token.expire_time.into(),
        token.disabled.into(),
        token.parent_id.into(),
        token.family_id.into(),
        token.delete_time.into(),
        hash.as_bytes().into(),
    ];
    tx.insert(sql, &params)
}

/// The token, also where it is deleted or expired, unless it is purged.
pub fn find(tx: &Tx<'_>, id: TokenId) -> Result<Option<Token>, Error> {
    tx.find(select!("id = ?1"), &[id.into()], |row| decode(row, 0))
}

/// At most `limit` live tokens of `user` after `after` by (create time, ID), rising, or falling in
/// `reverse`.
pub fn list_live(
    tx: &Tx<'_>,
    user: UserId,
    now: Timestamp,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Vec<Token>, Error> {
    let sql = if reverse {
        select!(
            "user_id = ?1 AND delete_time IS NULL AND (expire_time IS NULL OR expire_time > ?2) \
             AND (create_time, id) < (?3, ?4) ORDER BY create_time DESC, id DESC LIMIT ?5"
        )
    } else {
        select!(
            "user_id = ?1 AND delete_time IS NULL AND (expire_time IS NULL OR expire_time > ?2) \
             AND (create_time, id) > (?3, ?4) ORDER BY create_time, id LIMIT ?5"
        )
    };
    let keyset = Keyset::new(after, reverse);
    let params = [
        user.into(),
        now.into(),
        keyset.create_time(),
        keyset.id(),
        limit.into(),
    ];
    tx.list(sql, &params, |row| decode(row, 0))
}

/// How many live tokens `user` has. Two ranges of an index instead of an OR over all.
pub fn count_live(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, Error> {
    let sql = "SELECT (SELECT count(*) FROM tokens WHERE user_id = ?1 AND delete_time IS NULL \
               AND expire_time IS NULL) \
               + (SELECT count(*) FROM tokens WHERE user_id = ?1 AND delete_time IS NULL \
               AND expire_time > ?2)";
    tx.number(sql, &[user.into(), now.into()])
}

/// How many live tokens were made with `parent`.
pub fn count_live_children(tx: &Tx<'_>, parent: TokenId, now: Timestamp) -> Result<u64, Error> {
    let sql = "SELECT (SELECT count(*) FROM tokens WHERE parent_id = ?1 AND delete_time IS NULL \
               AND expire_time IS NULL) \
               + (SELECT count(*) FROM tokens WHERE parent_id = ?1 AND delete_time IS NULL \
               AND expire_time > ?2)";
    tx.number(sql, &[parent.into(), now.into()])
}

/// Deletes a token. False: there is none, or it is deleted already. Its children are
/// [`delete_live_children`]'s.
pub fn mark_deleted(tx: &Tx<'_>, id: TokenId, now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE tokens SET delete_time = ?2 WHERE id = ?1 AND delete_time IS NULL";
    let params = [id.into(), now.into()];
    if has_children(tx, id)? {
        tx.execute_one(sql, &params)
    } else {
        tx.execute_alone(id, sql, &params)
    }
}

/// Whether a token that is not deleted was made with `parent`.
fn has_children(tx: &Tx<'_>, parent: TokenId) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM tokens WHERE parent_id = ?1 AND delete_time IS NULL LIMIT 1";
    Ok(tx.find(sql, &[parent.into()], |_| Ok(()))?.is_some())
}

/// Deletes the live tokens that were made with `parent`; how many.
pub fn delete_live_children(tx: &Tx<'_>, parent: TokenId, now: Timestamp) -> Result<u64, Error> {
    let sql = "UPDATE tokens SET delete_time = ?2 WHERE parent_id = ?1 AND delete_time IS NULL \
               AND (expire_time IS NULL OR expire_time > ?2)";
    tx.execute(sql, &[parent.into(), now.into()])
}

/// Deletes the live tokens of `user` and those that were made with them, whosever they are; how many.
pub fn delete_live_of_user(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, Error> {
    let params = [user.into(), now.into()];
    // The children first: they are found through parents that are not yet deleted.
    let children = "UPDATE tokens SET delete_time = ?2 WHERE delete_time IS NULL \
                    AND (expire_time IS NULL OR expire_time > ?2) \
                    AND parent_id IN (SELECT id FROM tokens WHERE user_id = ?1 AND delete_time IS NULL)";
    let own = "UPDATE tokens SET delete_time = ?2 WHERE user_id = ?1 AND delete_time IS NULL \
               AND (expire_time IS NULL OR expire_time > ?2)";
    Ok(tx.execute(children, &params)? + tx.execute(own, &params)?)
}

/// Deletes at most `limit` live tokens of a family: its members, then those that were made with any of them,
/// also with members that are long deleted. Which; fewer than `limit`: no more are left.
pub fn delete_family(
    tx: &Tx<'_>,
    family: TokenId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TokenId>, Error> {
    // The first member is not in the index of families.
    let sql = "SELECT id FROM tokens WHERE id = ?1 AND delete_time IS NULL \
               AND (expire_time IS NULL OR expire_time > ?2) \
               UNION ALL SELECT id FROM tokens WHERE family_id = ?1 AND family_id <> id \
               AND delete_time IS NULL AND (expire_time IS NULL OR expire_time > ?2) \
               UNION ALL SELECT id FROM tokens WHERE parent_id = ?1 \
               AND delete_time IS NULL AND (expire_time IS NULL OR expire_time > ?2) \
               UNION ALL SELECT child.id FROM tokens member JOIN tokens child ON child.parent_id = member.id \
               WHERE member.family_id = ?1 AND member.family_id <> member.id \
               AND child.delete_time IS NULL AND (child.expire_time IS NULL OR child.expire_time > ?2) \
               LIMIT ?3";
    let ids = tx.list(sql, &[family.into(), now.into(), limit.into()], |row| {
        row.parse(0, "an ID", TokenId::parse)
    })?;
    for id in &ids {
        mark_deleted(tx, *id, now)?;
    }
    Ok(ids)
}

/// Removes at most `limit` tokens that were deleted or expired at `cutoff` or before; how many. Fewer than
/// `limit`: no more are left.
pub fn purge(tx: &Tx<'_>, cutoff: Timestamp, limit: u32) -> Result<u64, Error> {
    let deleted = "DELETE FROM tokens WHERE id IN \
                   (SELECT id FROM tokens WHERE delete_time <= ?1 ORDER BY delete_time LIMIT ?2)";
    let expired = "DELETE FROM tokens WHERE id IN \
                   (SELECT id FROM tokens WHERE expire_time <= ?1 ORDER BY expire_time LIMIT ?2)";
    let first = tx.execute(deleted, &[cutoff.into(), limit.into()])?;
    let rest = i64::from(limit).saturating_sub_unsigned(first);
    Ok(first + tx.execute(expired, &[cutoff.into(), rest.into()])?)
}

/// A token from fourteen columns of a row, the first at `at`.
fn decode(row: &Row<'_>, at: usize) -> Result<Token, Error> {
    Ok(Token {
        id: row.parse(at, "an ID", TokenId::parse)?,
        user_id: row.parse(at + 1, "an ID", UserId::parse)?,
        note: row.string(at + 2).map(Note::from_row)?,
        scopes: ScopeSet::from_row(row.text(at + 3)?),
        allowed_cidrs: row.parse(at + 4, "networks", CidrSet::from_row)?,
        create_time: row.time(at + 5)?,
        expire_time: row.opt_time(at + 6)?,
        disabled: row.flag(at + 7)?,
        parent_id: row.opt_parse(at + 8, "an ID", TokenId::parse)?,
        family_id: row.parse(at + 9, "an ID", TokenId::parse)?,
        delete_time: row.opt_time(at + 10)?,
        successor_id: row.opt_parse(at + 11, "an ID", TokenId::parse)?,
        last_use: match row.opt_time(at + 12)? {
            None => None,
            Some(time) => Some(LastUse {
                time,
                ip: row.opt_parse(at + 13, "an address", |text| text.parse().ok())?,
            }),
        },
    })
}

#[cfg(test)]
mod tests;
