//! Deleting tokens: each leaves a tombstone. Only live ones are touched, which are found as two ranges (see
//! `live.rs`): what has expired needs no tombstone, however much of it there is.

use super::family::live_members;
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

/// What was deleted of a family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFamily {
    /// Its members.
    pub members: Vec<TokenId>,
    /// What was made with them.
    pub children: Vec<TokenId>,
}

impl DeletedFamily {
    /// All that was deleted.
    pub fn ids(&self) -> impl Iterator<Item = &TokenId> {
        self.members.iter().chain(&self.children)
    }

    /// How many that are.
    pub const fn count(&self) -> usize {
        self.members.len() + self.children.len()
    }

    /// Adds another's.
    pub fn add(&mut self, more: Self) {
        self.members.extend(more.members);
        self.children.extend(more.children);
    }
}

/// Deletes live members of a family but `spared`, each with its live children, until there are `limit` or more.
/// Fewer than `limit`: no more are left.
pub fn delete_family(
    tx: &Tx<'_>,
    family: TokenId,
    spared: &[TokenId],
    now: Timestamp,
    limit: u32,
) -> Result<DeletedFamily, Error> {
    let children = "SELECT id FROM tokens WHERE parent_id = ?1 AND delete_time IS NULL \
                    AND expire_time IS NULL UNION ALL SELECT id FROM tokens WHERE parent_id = ?1 \
                    AND delete_time IS NULL AND expire_time > ?2";
    let limit = usize::try_from(limit).expect("32 bits fit a usize");
    let mut deleted = DeletedFamily::default();
    for member in live_members(tx, family, now)? {
        if deleted.count() >= limit {
            break;
        }
        if spared.contains(&member) {
            continue;
        }
        let children = tx.list(children, &[member.into(), now.into()], |row| {
            row.parse(0, "an ID", TokenId::parse)
        })?;
        for id in [member].iter().chain(&children) {
            mark_deleted(tx, *id, now)?;
        }
        deleted.members.push(member);
        deleted.children.extend(children);
    }
    Ok(deleted)
}
