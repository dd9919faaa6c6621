//! Deletes tokens, leaving tombstones. Only live tokens are deleted, found as two index ranges (see `live.rs`):
//! expired ones need no tombstone, however many there are.

use super::family::live_members;
use crate::{
    domain::{
        id::{TokenId, UserId},
        time::Timestamp,
    },
    store::{error::Error, tx::Tx, value::Value},
};

/// Deletes a token but not its children, which [`delete_live_children`] does. False if it does not exist or is
/// deleted already.
pub fn mark_deleted(tx: &Tx<'_>, id: TokenId, now: Timestamp) -> Result<bool, Error> {
    tx.update_token(id, "delete_time = ?2", "delete_time IS NULL", &[now.into()])
}

/// The statements that delete the live tokens matching `$key`, with the key's value as `?1` and the current time as
/// `?2`.
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

/// Deletes the live tokens that were created with `parent`, and returns how many.
pub fn delete_live_children(tx: &Tx<'_>, parent: TokenId, now: Timestamp) -> Result<u64, Error> {
    run(tx, delete!("parent_id = ?1"), &[parent.into(), now.into()])
}

/// Deletes the user's live tokens and all live tokens created with them, whoever they belong to. Returns how many.
pub fn delete_live_of_user(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, Error> {
    let params = [user.into(), now.into()];
    // Children first, since they are found through their live parents. No child outlives its parent.
    let children = delete!(
        "parent_id IN (SELECT id FROM tokens WHERE user_id = ?1 AND delete_time IS NULL \
         AND expire_time IS NULL UNION ALL SELECT id FROM tokens WHERE user_id = ?1 \
         AND delete_time IS NULL AND expire_time > ?2)"
    );
    Ok(run(tx, children, &params)? + run(tx, delete!("user_id = ?1"), &params)?)
}

/// The tokens deleted from a family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFamily {
    /// Members of the family.
    pub members: Vec<TokenId>,
    /// Tokens created with them.
    pub children: Vec<TokenId>,
}

impl DeletedFamily {
    /// All deleted tokens.
    pub fn ids(&self) -> impl Iterator<Item = &TokenId> {
        self.members.iter().chain(&self.children)
    }

    /// The number of deleted tokens.
    pub const fn count(&self) -> usize {
        self.members.len() + self.children.len()
    }

    /// Adds the tokens of another deletion.
    pub fn add(&mut self, more: Self) {
        self.members.extend(more.members);
        self.children.extend(more.children);
    }
}

/// Deletes live members of a family except `spared`, each with its live children, until at least `limit` tokens are
/// deleted. If fewer are, none are left.
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
