//! Revokes tokens, leaving tombstones. Only live tokens are revoked, found as two index ranges (see `live.rs`):
//! expired ones need no tombstone, however many there are.

use super::family::live_members;
use crate::{
    domain::{
        id::{TokenId, UserId},
        time::Timestamp,
    },
    store::{error::Error, row::Value, tx::Tx},
};

/// Revokes a token but not its children, which [`revoke_live_children`] does. False if it does not exist or is
/// revoked already.
pub fn mark_revoked(tx: &Tx<'_>, id: TokenId, now: Timestamp) -> Result<bool, Error> {
    tx.update_token(id, "delete_time = ?2", "delete_time IS NULL", &[now.into()])
}

/// The statements that revoke the live tokens matching `$key`, with the key's value as `?1` and the current time as
/// `?2`.
macro_rules! revoke {
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

/// Revokes the live tokens that were created with `parent`, and returns how many.
pub fn revoke_live_children(tx: &Tx<'_>, parent: TokenId, now: Timestamp) -> Result<u64, Error> {
    run(tx, revoke!("parent_id = ?1"), &[parent.into(), now.into()])
}

/// Revokes the user's live tokens and all live tokens created with them, whoever they belong to. Returns how many.
pub fn revoke_live_of_user(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, Error> {
    let params = [user.into(), now.into()];
    // Children first, since they are found through their live parents. No child outlives its parent.
    let children = revoke!(
        "parent_id IN (SELECT id FROM tokens WHERE user_id = ?1 AND delete_time IS NULL \
         AND expire_time IS NULL UNION ALL SELECT id FROM tokens WHERE user_id = ?1 \
         AND delete_time IS NULL AND expire_time > ?2)"
    );
    Ok(run(tx, children, &params)? + run(tx, revoke!("user_id = ?1"), &params)?)
}

/// The tokens revoked from a family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedFamily {
    /// Members of the family.
    pub members: Vec<TokenId>,
    /// Tokens created with them.
    pub children: Vec<TokenId>,
}

impl RevokedFamily {
    /// All revoked tokens.
    pub fn ids(&self) -> impl Iterator<Item = &TokenId> {
        self.members.iter().chain(&self.children)
    }

    /// The number of revoked tokens.
    pub const fn count(&self) -> usize {
        self.members.len() + self.children.len()
    }

    /// Adds the tokens of another revocation.
    pub fn add(&mut self, more: Self) {
        self.members.extend(more.members);
        self.children.extend(more.children);
    }
}

/// Revokes live members of a family except `spared`, each with its live children, until at least `limit` tokens are
/// revoked. If fewer are, none are left.
pub fn revoke_family(
    tx: &Tx<'_>,
    family: TokenId,
    spared: &[TokenId],
    now: Timestamp,
    limit: u32,
) -> Result<RevokedFamily, Error> {
    let children = "SELECT id FROM tokens WHERE parent_id = ?1 AND delete_time IS NULL \
                    AND expire_time IS NULL UNION ALL SELECT id FROM tokens WHERE parent_id = ?1 \
                    AND delete_time IS NULL AND expire_time > ?2";
    let limit = usize::try_from(limit).expect("32 bits fit a usize");
    let mut revoked = RevokedFamily::default();
    for member in live_members(tx, family, now)? {
        if revoked.count() >= limit {
            break;
        }
        if spared.contains(&member) {
            continue;
        }
        let children = tx.list(children, &[member.into(), now.into()], |row| {
            row.parse("id", "an ID", TokenId::parse)
        })?;
        for id in [member].iter().chain(&children) {
            mark_revoked(tx, *id, now)?;
        }
        revoked.members.push(member);
        revoked.children.extend(children);
    }
    Ok(revoked)
}
