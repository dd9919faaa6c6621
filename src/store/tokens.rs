//! The tokens table. A deleted token's row stays as a tombstone until it is purged.

mod change;
mod credential;
mod family;
mod filter;
mod live;
mod purge;
mod revoke;
mod search;
mod with_ended;

pub use change::{mark_rotated, move_live_children, record_uses, undo_rotation, update};
pub use credential::{Credential, find_credential};
pub use family::{disable_family, list_family};
pub use filter::{StateFilter, TokenFilter};
pub use live::{count_live, count_live_children, count_live_family, last_use_of_live};
pub use purge::{find_users_over_limit, purge, purge_ended};
pub use revoke::{
    RevokedFamily, mark_revoked, revoke_family, revoke_live_children, revoke_live_of_user,
};
#[cfg(test)]
pub(in crate::store) use search::MAX_ROWS;
pub use search::{TokenPage, count, count_by_state, find_selected, last_row, search};
pub use with_ended::list_with_ended;

use super::{error::Error, row::Row, tx::Tx};
use crate::{
    domain::{
        cidr::CidrSet,
        id::{TokenId, UserId},
        note::Note,
        scope::ScopeSet,
        token::{DisabledBy, LastUse, Token},
        token_text::TokenHash,
    },
    metrics::TokenCounts,
};

macro_rules! columns {
    () => {
        "id, user_id, note, scopes, allowed_cidrs, create_time, expire_time, disabled, disabled_by, \
         parent_id, family_id, delete_time, successor_id, last_use_time, last_use_ip, \
         last_use_reporter_ip, reuse_time"
    };
}
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM tokens WHERE ", $rest)
    };
}
use {columns, select};

/// The columns that [`decode`] reads.
const COLUMNS: &str = columns!();

/// Inserts a token.
pub fn insert(tx: &Tx<'_>, token: &Token, hash: &TokenHash) -> Result<(), Error> {
    let (scopes, cidrs) = (token.scopes.to_string(), token.allowed_cidrs.to_string());
    let sql = "INSERT INTO tokens (id, user_id, note, scopes, allowed_cidrs, create_time, expire_time, \
               disabled, parent_id, family_id, delete_time, hash, disabled_by, reuse_time) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let params = [
        token.id.into(),
        token.user_id.into(),
        token.note.as_str().into(),
        scopes.as_str().into(),
        cidrs.as_str().into(),
        token.create_time.into(),
        token.expire_time.into(),
        token.disabled.is_some().into(),
        token.parent_id.into(),
        token.family_id.into(),
        token.delete_time.into(),
        hash.as_bytes().into(),
        token.disabled.map(DisabledBy::as_str).into(),
        token.reuse_time.into(),
    ];
    tx.insert(sql, &params)
}

/// The token, even if it is deleted or expired, unless it was purged.
pub fn find(tx: &Tx<'_>, id: TokenId) -> Result<Option<Token>, Error> {
    tx.find(select!("id = ?1"), &[id.into()], decode)
}

/// Decodes a token from [`COLUMNS`], in their order.
fn decode(row: &Row<'_>) -> Result<Token, Error> {
    let ip = |name| row.opt_parse(name, "an address", |text| text.parse().ok());
    Ok(Token {
        id: row.parse("id", "an ID", TokenId::parse)?,
        user_id: row.parse("user_id", "an ID", UserId::parse)?,
        note: row.string("note").map(Note::from_row)?,
        scopes: ScopeSet::from_row(row.text("scopes")?),
        allowed_cidrs: row.parse("allowed_cidrs", "networks", CidrSet::from_row)?,
        create_time: row.time("create_time")?,
        expire_time: row.opt_time("expire_time")?,
        disabled: {
            let disabled = row.flag("disabled")?;
            let by = row.opt_parse("disabled_by", "who disabled it", DisabledBy::from_row)?;
            // If nobody is recorded, assume the owner.
            disabled.then(|| by.unwrap_or(DisabledBy::Owner))
        },
        parent_id: row.opt_parse("parent_id", "an ID", TokenId::parse)?,
        family_id: row.parse("family_id", "an ID", TokenId::parse)?,
        delete_time: row.opt_time("delete_time")?,
        successor_id: row.opt_parse("successor_id", "an ID", TokenId::parse)?,
        last_use: {
            let time = row.opt_time("last_use_time")?;
            let (ip, reporter_ip) = (ip("last_use_ip")?, ip("last_use_reporter_ip")?);
            time.map(|time| LastUse {
                time,
                ip,
                reporter_ip,
            })
        },
        reuse_time: row.opt_time("reuse_time")?,
    })
}

/// Decodes the number of active, disabled, expired and deleted tokens.
fn decode_counts(row: &Row<'_>) -> Result<TokenCounts, Error> {
    Ok(TokenCounts {
        active: row.count("active")?,
        disabled: row.count("disabled")?,
        expired: row.count("expired")?,
        deleted: row.count("deleted")?,
    })
}
