//! Families: chains of tokens created by rotation. The family has the ID of its first token, which the family index
//! leaves out, so that a token that was never rotated takes no space there.

use super::{columns, decode, select};
use crate::{
    domain::{
        id::TokenId,
        time::Timestamp,
        token::{DisabledBy, Token},
    },
    store::{error::Error, tx::Tx},
};

/// The first token of a family and its latest `limit` others, tombstones included, unless purged; oldest first.
pub fn list_family(tx: &Tx<'_>, family: TokenId, limit: u32) -> Result<Vec<Token>, Error> {
    let first = tx.find(select!("id = ?1"), &[family.into()], decode)?;
    let others = select!("family_id = ?1 AND family_id <> id ORDER BY id DESC LIMIT ?2");
    let mut others = tx.list(others, &[family.into(), limit.into()], decode)?;
    others.extend(first);
    others.reverse();
    Ok(others)
}

/// The live members of a family. They are few: a rotation that would leave too many is refused.
pub(super) fn live_members(
    tx: &Tx<'_>,
    family: TokenId,
    now: Timestamp,
) -> Result<Vec<TokenId>, Error> {
    // The family index does not contain the first member.
    let sql = "SELECT id FROM tokens WHERE id = ?1 AND delete_time IS NULL AND expire_time IS NULL \
               UNION ALL SELECT id FROM tokens WHERE id = ?1 AND delete_time IS NULL AND expire_time > ?2 \
               UNION ALL SELECT id FROM tokens WHERE family_id = ?1 AND family_id <> id \
               AND delete_time IS NULL AND expire_time IS NULL \
               UNION ALL SELECT id FROM tokens WHERE family_id = ?1 AND family_id <> id \
               AND delete_time IS NULL AND expire_time > ?2";
    tx.list(sql, &[family.into(), now.into()], |row| {
        row.parse("id", "an ID", TokenId::parse)
    })
}

/// Disables the live members of a family after a rotated secret was reused, and returns them. Does nothing if that
/// happened before to one of them or its predecessors: an admin who enabled it again has looked into it.
pub fn disable_family(tx: &Tx<'_>, family: TokenId, now: Timestamp) -> Result<Vec<TokenId>, Error> {
    let members = live_members(tx, family, now)?;
    for id in &members {
        let known = super::find(tx, *id)?.and_then(|token| token.reuse_time);
        if known.is_some() {
            return Ok(Vec::new());
        }
    }
    let by = DisabledBy::Reuse.as_str();
    for id in &members {
        let set = "disabled = 1, disabled_by = ?2, reuse_time = ?3";
        tx.update_token(*id, set, "delete_time IS NULL", &[by.into(), now.into()])?;
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        domain::{
            rotation::{Grace, Rotation},
            scope::ScopeSet,
        },
        store::{
            sqlite,
            tests::samples::{NOW, hash, person, token},
            tokens::{
                count_live_family, find, insert, mark_revoked, mark_rotated, move_live_children,
                update,
            },
            users,
        },
    };

    use super::*;

    #[test]
    fn a_rotation_is_stored_once_and_moves_the_live_children() {
        let connection = sqlite::in_memory();
        let tx = sqlite::transaction(&connection);
        let alice = person("alice");
        users::insert(&tx, &alice, None).unwrap();
        let first = token(&alice);
        let add = |token: &Token| insert(&tx, token, &hash(token)).unwrap();
        add(&first);
        let child = |expire_time| Token {
            parent_id: Some(first.id),
            expire_time,
            ..token(&alice)
        };
        let (live, expired) = (child(None), child(Some(NOW)));
        add(&live);
        add(&expired);

        let grace = Grace::parse(60, 0).unwrap();
        let later = NOW.plus(Duration::from_millis(1));
        let rotation = Rotation::new(first, TokenId::generate(later), None, grace, later);
        let Rotation {
            successor,
            predecessor,
        } = rotation.unwrap();
        add(&successor);
        assert!(mark_rotated(&tx, &predecessor).unwrap());
        assert!(!mark_rotated(&tx, &predecessor).unwrap());
        let moved = move_live_children(&tx, predecessor.id, successor.id, NOW);
        assert_eq!(moved.unwrap(), 1);
        let parent = |token: &Token| find(&tx, token.id).unwrap().unwrap().parent_id;
        assert_eq!(parent(&live), Some(successor.id));
        assert_eq!(parent(&expired), Some(predecessor.id));

        let family = list_family(&tx, predecessor.id, 9).unwrap();
        assert_eq!(family, [predecessor.clone(), successor.clone()]);
        assert_eq!(count_live_family(&tx, predecessor.id, later).unwrap(), 2);
        let over = later.plus(Duration::from_mins(1));
        assert_eq!(count_live_family(&tx, predecessor.id, over).unwrap(), 1);
        assert_eq!(list_family(&tx, live.id, 9).unwrap().len(), 1, "its own");
    }

    #[test]
    fn an_update_stores_what_may_change_and_leaves_tombstones_alone() {
        let connection = sqlite::in_memory();
        let tx = sqlite::transaction(&connection);
        let alice = person("alice");
        users::insert(&tx, &alice, None).unwrap();
        let first = token(&alice);
        insert(&tx, &first, &hash(&first)).unwrap();
        let changed = Token {
            scopes: ScopeSet::parse(["deploy"]).unwrap(),
            disabled: Some(DisabledBy::Admin),
            ..first
        };
        assert!(update(&tx, &changed).unwrap());
        assert_eq!(find(&tx, changed.id).unwrap().as_ref(), Some(&changed));
        assert!(mark_revoked(&tx, changed.id, NOW).unwrap());
        assert!(!update(&tx, &changed).unwrap());
    }
}
