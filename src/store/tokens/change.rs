//! Updates, rotations and last uses of tokens.

use crate::{
    domain::{
        id::TokenId,
        time::Timestamp,
        token::{DisabledBy, LastUse, Token},
    },
    store::{error::Error, tx::Tx},
};

/// Stores a token's note, scopes and networks, and who disabled it. False if the token does not exist or is deleted.
pub fn update(tx: &Tx<'_>, token: &Token) -> Result<bool, Error> {
    let (scopes, cidrs) = (token.scopes.to_string(), token.allowed_cidrs.to_string());
    let set = "note = ?2, scopes = ?3, allowed_cidrs = ?4, disabled = ?5, disabled_by = ?6";
    let params = [
        token.note.as_str().into(),
        scopes.as_str().into(),
        cidrs.as_str().into(),
        token.disabled.is_some().into(),
        token.disabled.map(DisabledBy::as_str).into(),
    ];
    tx.update_token(token.id, set, "delete_time IS NULL", &params)
}

/// Stores a rotated token's successor and end. False if the token does not exist, is deleted or was rotated before.
pub fn mark_rotated(tx: &Tx<'_>, predecessor: &Token) -> Result<bool, Error> {
    let set = "successor_id = ?2, expire_time_before_rotation = expire_time, expire_time = ?3, delete_time = ?4";
    let condition = "delete_time IS NULL AND successor_id IS NULL";
    let params = [
        predecessor.successor_id.into(),
        predecessor.expire_time.into(),
        predecessor.delete_time.into(),
    ];
    tx.update_token(predecessor.id, set, condition, &params)
}

/// Undoes the rotation of a token to `successor`, unless the token is deleted. False if there is no such token.
pub fn undo_rotation(tx: &Tx<'_>, id: TokenId, successor: TokenId) -> Result<bool, Error> {
    let sql = "UPDATE tokens SET successor_id = NULL, expire_time = expire_time_before_rotation, \
               expire_time_before_rotation = NULL \
               WHERE id = ?1 AND successor_id = ?2 AND delete_time IS NULL";
    tx.execute_one(sql, &[id.into(), successor.into()])
}

/// Moves the live children of `from` to `to`, and returns how many there were.
pub fn move_live_children(
    tx: &Tx<'_>,
    from: TokenId,
    to: TokenId,
    now: Timestamp,
) -> Result<u64, Error> {
    let never = "UPDATE tokens SET parent_id = ?2 WHERE parent_id = ?1 AND delete_time IS NULL \
                 AND expire_time IS NULL";
    let later = "UPDATE tokens SET parent_id = ?2 WHERE parent_id = ?1 AND delete_time IS NULL \
                 AND expire_time > ?3";
    let moved = tx.execute(never, &[from.into(), to.into()])?;
    Ok(moved + tx.execute(later, &[from.into(), to.into(), now.into()])?)
}

/// Stores each use that is later than the stored one. Purged tokens are skipped.
///
/// This does not affect decisions, so credentials in memory stay current. They are therefore not the place to read a
/// last use from.
pub fn record_uses(tx: &Tx<'_>, uses: &[(TokenId, LastUse)]) -> Result<(), Error> {
    uses.iter()
        .try_for_each(|(id, last_use)| tx.set_last_use(*id, last_use))
}
