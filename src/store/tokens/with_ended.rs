//! A user's tokens in order of creation, ended ones included.

use super::{COLUMNS, decode};
use crate::{
    domain::{id::UserId, page::Position, token::Token},
    store::{conditions::Keyset, error::Error, tx::Tx},
};

/// Revoked tokens have an index of their own, so that a token that is created is not in one index more.
const PARTS: [&str; 2] = ["delete_time IS NULL", "delete_time IS NOT NULL"];

/// At most `limit` of the user's tokens after position `after`, by create time in ascending order, or descending in
/// `reverse`.
pub fn list_with_ended(
    tx: &Tx<'_>,
    user: UserId,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Vec<Token>, Error> {
    let keyset = Keyset::new(after, reverse);
    let (compare, order) = if reverse { ("<", "DESC") } else { (">", "ASC") };
    let mut tokens = Vec::new();
    for part in PARTS {
        let sql = format!(
            "SELECT {COLUMNS} FROM tokens WHERE user_id = ?1 AND {part} AND (create_time, id) {compare} (?2, ?3) \
             ORDER BY create_time {order}, id {order} LIMIT ?4"
        );
        let params = [user.into(), keyset.time(), keyset.id(), limit.into()];
        tokens.extend(tx.list(&sql, &params, decode)?);
    }
    tokens.sort_by_key(|token| (token.create_time, token.id));
    if reverse {
        tokens.reverse();
    }
    tokens.truncate(usize::try_from(limit).expect("32 bits fit a usize"));
    Ok(tokens)
}
