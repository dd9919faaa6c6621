//! Reads what authentication needs to know of a token, in a single statement, since it runs for every request.

use super::decode;
use crate::{
    domain::{
        id::TokenId,
        token::{Lineage, Parent},
        token_text::TokenHash,
        user::User,
    },
    store::{
        error::Error,
        tx::{Row, Tx},
        users,
    },
};

/// A token with everything that decides whether it is valid and what it may do.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The hash to compare the presented token's with.
    pub hash: TokenHash,
    /// The token with its user's state and its parent.
    pub lineage: Lineage,
    /// The token's user; `None` if deleted.
    pub user: Option<User>,
    /// Whether the user is a machine whose owner is an active admin. The machine's own role takes effect only then.
    pub owner_is_active_admin: bool,
}

/// The credential of the token `id`, even if it is deleted.
pub fn find_credential(tx: &Tx<'_>, id: TokenId) -> Result<Option<Credential>, Error> {
    let sql = "SELECT t.id, t.user_id, t.note, t.scopes, t.allowed_cidrs, t.create_time, t.expire_time, \
               t.disabled, t.parent_id, t.family_id, t.delete_time, t.successor_id, t.last_use_time, \
               t.last_use_ip, t.last_use_reporter_ip, t.disabled_by, t.reuse_time, t.hash, \
               u.id, u.username, u.user_type, u.role, u.owner_id, u.description, u.create_time, \
               u.update_time, u.deactivated, \
               CASE WHEN o.deactivated = 0 AND o.delete_time IS NULL AND o.role = 'admin' \
               AND o.user_type = 'person' THEN 1 ELSE 0 END, \
               CASE WHEN pu.deactivated = 0 AND pu.delete_time IS NULL THEN 1 ELSE 0 END, \
               p.id, p.user_id, p.note, p.scopes, p.allowed_cidrs, p.create_time, p.expire_time, \
               p.disabled, p.parent_id, p.family_id, p.delete_time, p.successor_id, p.last_use_time, \
               p.last_use_ip, p.last_use_reporter_ip, p.disabled_by, p.reuse_time \
               FROM tokens t \
               LEFT JOIN users u ON u.id = t.user_id AND u.delete_time IS NULL \
               LEFT JOIN users o ON o.id = u.owner_id \
               LEFT JOIN tokens p ON p.id = t.parent_id \
               LEFT JOIN users pu ON pu.id = p.user_id \
               WHERE t.id = ?1";
    tx.find(sql, &[id.into()], decode_credential)
}

fn decode_credential(row: &Row<'_>) -> Result<Credential, Error> {
    let (token_at, hash_at, user_at, owner_at, parent_user_at, parent_at) = (0, 17, 18, 27, 28, 29);
    let token = decode(row, token_at)?;
    let user = if row.is_null(user_at)? {
        None
    } else {
        Some(users::decode(row, user_at)?)
    };
    let parent = match (token.parent_id, row.is_null(parent_at)?) {
        (None, _) => None,
        (Some(_), true) => Some(Parent {
            token: None,
            user_active: false,
        }),
        (Some(_), false) => Some(Parent {
            token: Some(decode(row, parent_at)?),
            user_active: row.flag(parent_user_at)?,
        }),
    };
    Ok(Credential {
        hash: TokenHash::from_row(row.bytes(hash_at)?),
        lineage: Lineage {
            token,
            user_active: user.as_ref().is_some_and(|user| !user.deactivated),
            parent,
        },
        user,
        owner_is_active_admin: row.flag(owner_at)?,
    })
}
