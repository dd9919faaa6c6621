//! Deleting tokens: each leaves a tombstone. Only live ones are touched, which are found as two ranges (see
//! `live.rs`): what has expired needs no tombstone, however much of it there is.

use crate::{
    domain::{
        id::{TokenId, UserId},
        time::Timestamp,
    },
    store::{error::Error, tx::Tx, value::Value},
};

/// Deletes a token. False: there is none, or it is deleted already. Its children are
/// [`delete_live_children`]'s.
pub fn mark_deleted(tx: &Tx<'_>, id: TokenId, now: Timestamp) -> Result<bool, Error> {
    tx.update_token(id, "delete_time = ?2", "delete_time IS NULL", &[now.into()])
}

/// The statements that delete the live tokens that meet `$key`, in which `?1` is for the key; `?2` is now.
macro_rules! delete {
    ($key:literal) => {
        [
            concat!(
                "UPDATE tokens SET delete_time = ?2 WHERE delete_time IS NULL AND expire_time IS NULL AND ",
                $key
            ),
            concat!(
                "UPDATE tokens SET delete_time = ?2 WHERE delete_time IS NULL AND expire_time > ?2 AND ",
                $key
            ),
        ]
    };
}

fn run(tx: &Tx<'_>, statements: [&str; 2], params: &[Value<'_>]) -> Result<u64, Error> {
    Ok(tx.execute(statements[0], params)? + tx.execute(statements[1], params)?)
}

/// Deletes the live tokens that were made with `parent`; how many.
pub fn delete_live_children(tx: &Tx<'_>, parent: TokenId, now: Timestamp) -> Result<u64, Error> {
    run(tx, delete!("parent_id = ?1"), &[parent.into(), now.into()])
}

/// Deletes the live tokens of `user` and those that were made with them, whosever they are; how many.
pub fn delete_live_of_user(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, Error> {
    let params = [user.into(), now.into()];
    // The children first: they are found through parents that are still live. A child lives no longer than
    // its parent.
    let children = delete!(
        "parent_id IN (SELECT id FROM tokens WHERE user_id = ?1 AND delete_time IS NULL \
         AND expire_time IS NULL UNION ALL SELECT id FROM tokens WHERE user_id = ?1 \
         AND delete_time IS NULL AND expire_time > ?2)"
    );
    Ok(run(tx, children, &params)? + run(tx, delete!("user_id = ?1"), &params)?)
}

/// Deletes live tokens of a family, each with its live children, until there are `limit` or more; which. Fewer
/// than `limit`: no more are left.
pub fn delete_family(
    tx: &Tx<'_>,
    family: TokenId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TokenId>, Error> {
    // The first member is not in the index of families.
    let members = "SELECT id FROM tokens WHERE id = ?1 AND delete_time IS NULL AND expire_time IS NULL \
                   UNION ALL SELECT id FROM tokens WHERE id = ?1 AND delete_time IS NULL AND expire_time > ?2 \
                   UNION ALL SELECT id FROM tokens WHERE family_id = ?1 AND family_id <> id \
                   AND delete_time IS NULL AND expire_time IS NULL \
                   UNION ALL SELECT id FROM tokens WHERE family_id = ?1 AND family_id <> id \
                   AND delete_time IS NULL AND expire_time > ?2 LIMIT ?3";
    let children = "SELECT id FROM tokens WHERE parent_id = ?1 AND delete_time IS NULL \
                    AND expire_time IS NULL UNION ALL SELECT id FROM tokens WHERE parent_id = ?1 \
                    AND delete_time IS NULL AND expire_time > ?2";
    let ids = |sql, params: &[Value<'_>]| {
        tx.list(sql, params, |row| row.parse(0, "an ID", TokenId::parse))
    };
    let mut deleted = Vec::new();
    for member in ids(members, &[family.into(), now.into(), limit.into()])? {
        if deleted.len() >= usize::try_from(limit).expect("32 bits fit a usize") {
            break;
        }
        let children = ids(children, &[member.into(), now.into()])?;
        for id in [member].into_iter().chain(children) {
            mark_deleted(tx, id, now)?;
            deleted.push(id);
        }
    }
    Ok(deleted)
}
