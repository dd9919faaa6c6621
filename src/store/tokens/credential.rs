//! Reads what authentication needs to know of a token, in a single statement, since it runs for every request.

use std::sync::LazyLock;

use super::{COLUMNS, decode};
use crate::{
    domain::{
        id::TokenId,
        token::{Lineage, Parent},
        token_text::TokenHash,
        user::User,
    },
    store::{error::Error, row::Row, tx::Tx, users},
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

static SQL: LazyLock<String> = LazyLock::new(|| {
    let columns = |table, columns: &str| {
        let columns = columns.split(", ");
        let named = columns.map(|column| format!("{table}.{column} AS {table}_{column}"));
        named.collect::<Vec<_>>().join(", ")
    };
    format!(
        "SELECT {}, t.hash, \
         CASE WHEN o.deactivated = 0 AND o.delete_time IS NULL AND o.role = 'admin' \
         AND o.user_type = 'person' THEN 1 ELSE 0 END AS owner_is_active_admin, \
         CASE WHEN pu.deactivated = 0 AND pu.delete_time IS NULL THEN 1 ELSE 0 END AS parent_user_active, \
         {}, {} \
         FROM tokens t \
         LEFT JOIN users u ON u.id = t.user_id AND u.delete_time IS NULL \
         LEFT JOIN users o ON o.id = u.owner_id \
         LEFT JOIN tokens p ON p.id = t.parent_id \
         LEFT JOIN users pu ON pu.id = p.user_id \
         WHERE t.id = ?1",
        columns("t", COLUMNS),
        columns("u", users::COLUMNS),
        columns("p", COLUMNS),
    )
});

/// The credential of the token `id`, even if it is deleted.
pub fn find_credential(tx: &Tx<'_>, id: TokenId) -> Result<Option<Credential>, Error> {
    tx.find(&SQL, &[id.into()], decode_credential)
}

fn decode_credential(row: &Row<'_>) -> Result<Credential, Error> {
    let token = decode(&row.with_prefix("t_"))?;
    let hash = TokenHash::from_row(row.bytes("hash")?);
    let owner_is_active_admin = row.flag("owner_is_active_admin")?;
    let user_active = row.flag("parent_user_active")?;
    let user = row.with_prefix("u_");
    let user = if user.is_null("id")? {
        None
    } else {
        Some(users::decode(&user)?)
    };
    let parent = row.with_prefix("p_");
    let parent = match (token.parent_id, parent.is_null("id")?) {
        (None, _) => None,
        (Some(_), true) => Some(Parent {
            token: None,
            user_active: false,
        }),
        (Some(_), false) => Some(Parent {
            token: Some(decode(&parent)?),
            user_active,
        }),
    };
    Ok(Credential {
        hash,
        lineage: Lineage {
            token,
            user_active: user.as_ref().is_some_and(|user| !user.deactivated),
            parent,
        },
        user,
        owner_is_active_admin,
    })
}
