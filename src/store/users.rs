//! The users' table. A deleted user's row stays, so that its name is never used again; only
//! [`username_taken`] and [`is_empty`] see it.

use super::{
    error::Error,
    keyset::Keyset,
    tx::{Row, Tx},
    value::Value,
};
use crate::domain::{
    id::UserId,
    note::Note,
    page::Position,
    time::Timestamp,
    user::{Role, User, UserKind, Username},
};

const COLUMNS: &str = "id, username, user_type, role, owner_id, description, create_time, update_time, \
                       deactivated";

/// Which users to list or count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only this user and the machines that it owns.
    pub visible_to: Option<UserId>,
    /// Only deactivated users, or only active ones.
    pub deactivated: Option<bool>,
    /// Only people, or only machines.
    pub kind: Option<KindFilter>,
}

/// People or machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Only people.
    People,
    /// Only machines.
    Machines,
}

/// Adds a user; a person with its password's hash.
pub fn insert(tx: &Tx<'_>, user: &User, password_hash: Option<&str>) -> Result<(), Error> {
    let sql = "INSERT INTO users (id, username, user_type, role, owner_id, description, create_time, \
               update_time, deactivated, password_hash) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let params = [
        user.id.into(),
        user.username.as_str().into(),
        kind_text(user.kind).into(),
        role_text(user.role).into(),
        user.owner().into(),
        user.description.as_str().into(),
        user.create_time.into(),
        user.update_time.into(),
        user.deactivated.into(),
        password_hash.into(),
    ];
    tx.insert(sql, &params)
}

/// The user, unless it is deleted.
pub fn find(tx: &Tx<'_>, id: UserId) -> Result<Option<User>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE id = ?1 AND delete_time IS NULL");
    tx.find(&sql, &[id.into()], |row| decode(row, 0))
}

/// The user of that name, unless it is deleted.
pub fn find_by_username(tx: &Tx<'_>, username: &Username) -> Result<Option<User>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE username = ?1 AND delete_time IS NULL");
    tx.find(&sql, &[username.as_str().into()], |row| decode(row, 0))
}

/// Whether a user has the name or had it before it was deleted.
pub fn username_taken(tx: &Tx<'_>, username: &Username) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM users WHERE username = ?1";
    let found = tx.find(sql, &[username.as_str().into()], |_| Ok(()))?;
    Ok(found.is_some())
}

/// The user of that name and its password's hash; a machine has none.
pub fn find_sign_in(
    tx: &Tx<'_>,
    username: &Username,
) -> Result<Option<(User, Option<String>)>, Error> {
    let sql = format!(
        "SELECT {COLUMNS}, password_hash FROM users WHERE username = ?1 AND delete_time IS NULL"
    );
    tx.find(&sql, &[username.as_str().into()], |row| {
        Ok((decode(row, 0)?, row.opt_text(9)?.map(str::to_owned)))
    })
}

/// The hash of the user's password; `None` where there is no such user or it has none.
pub fn password_hash(tx: &Tx<'_>, id: UserId) -> Result<Option<String>, Error> {
    let sql = "SELECT password_hash FROM users WHERE id = ?1 AND delete_time IS NULL";
    let hash = tx.find(sql, &[id.into()], |row| {
        Ok(row.opt_text(0)?.map(str::to_owned))
    })?;
    Ok(hash.flatten())
}

/// Writes the role, owner, description, update time and state of a user. False: there is none.
pub fn update(tx: &Tx<'_>, user: &User) -> Result<bool, Error> {
    let sql = "UPDATE users SET role = ?2, owner_id = ?3, description = ?4, update_time = ?5, \
               deactivated = ?6 WHERE id = ?1 AND delete_time IS NULL";
    let params = [
        user.id.into(),
        role_text(user.role).into(),
        user.owner().into(),
        user.description.as_str().into(),
        user.update_time.into(),
        user.deactivated.into(),
    ];
    tx.execute_one(sql, &params)
}

/// Sets a person's password. False: there is no such person.
pub fn set_password_hash(
    tx: &Tx<'_>,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "UPDATE users SET password_hash = ?2, update_time = ?3 \
               WHERE id = ?1 AND delete_time IS NULL AND user_type = 'person'";
    tx.execute_one(sql, &[id.into(), hash.into(), now.into()])
}

/// Deletes a user, all but its name and times. False: there is none. Its tokens and machines are the
/// caller's to see to.
pub fn mark_deleted(tx: &Tx<'_>, id: UserId, now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE users SET delete_time = ?2, update_time = ?2, description = '', \
               password_hash = NULL WHERE id = ?1 AND delete_time IS NULL";
    tx.execute_one(sql, &[id.into(), now.into()])
}

/// At most `limit` users after `after` by (create time, ID), rising, or falling in `reverse`.
pub fn list(
    tx: &Tx<'_>,
    filter: &UserFilter,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Vec<User>, Error> {
    let (order, compare) = if reverse { ("DESC", "<") } else { ("ASC", ">") };
    let part = |of: &str| {
        let more = filter.conditions();
        format!(
            "SELECT {COLUMNS} FROM users WHERE {of}delete_time IS NULL{more} \
             AND (create_time, id) {compare} (?1, ?2)"
        )
    };
    let parts = match filter.visible_to {
        None => part(""),
        // Both parts come in order, so the engine merges them and sorts nothing.
        Some(_) => format!(
            "{} UNION ALL {}",
            part("id = ?4 AND "),
            part("owner_id = ?4 AND ")
        ),
    };
    let sql = format!("{parts} ORDER BY create_time {order}, id {order} LIMIT ?3");
    let keyset = Keyset::new(after, reverse);
    let mut params = vec![keyset.create_time(), keyset.id(), limit.into()];
    params.extend(filter.visible_to.map(Value::from));
    tx.list(&sql, &params, |row| decode(row, 0))
}

/// How many users [`list`] would list in all.
pub fn count(tx: &Tx<'_>, filter: &UserFilter) -> Result<u64, Error> {
    let part = |of: &str| {
        let more = filter.conditions();
        format!("(SELECT count(*) FROM users WHERE {of}delete_time IS NULL{more})")
    };
    let Some(user) = filter.visible_to else {
        return tx.number(&format!("SELECT {}", part("")), &[]);
    };
    let (own, owned) = (part("id = ?1 AND "), part("owner_id = ?1 AND "));
    tx.number(&format!("SELECT {own} + {owned}"), &[user.into()])
}

/// How many people are active admins.
pub fn count_active_admins(tx: &Tx<'_>) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM users WHERE delete_time IS NULL AND deactivated = 0 \
               AND role = 'admin' AND user_type = 'person'";
    tx.number(sql, &[])
}

/// How many machines a person owns, deactivated ones included.
pub fn count_machines(tx: &Tx<'_>, owner: UserId) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM users WHERE owner_id = ?1 AND delete_time IS NULL";
    tx.number(sql, &[owner.into()])
}

/// Whether there has never been a user.
pub fn is_empty(tx: &Tx<'_>) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM users WHERE username > '' LIMIT 1";
    Ok(tx.find(sql, &[], |_| Ok(()))?.is_none())
}

impl UserFilter {
    fn conditions(&self) -> String {
        let state = match self.deactivated {
            None => "",
            Some(false) => " AND deactivated = 0",
            Some(true) => " AND deactivated = 1",
        };
        let kind = match self.kind {
            None => "",
            Some(KindFilter::People) => " AND user_type = 'person'",
            Some(KindFilter::Machines) => " AND user_type = 'machine'",
        };
        format!("{state}{kind}")
    }
}

const fn kind_text(kind: UserKind) -> &'static str {
    match kind {
        UserKind::Person => "person",
        UserKind::Machine { .. } => "machine",
    }
}

const fn role_text(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// A user from nine columns of a row, the first at `at`.
pub(super) fn decode(row: &Row<'_>, at: usize) -> Result<User, Error> {
    let owner = row.opt_parse(at + 4, "an ID", UserId::parse)?;
    let kind = row.parse(at + 2, "a user type", |text| match (text, owner) {
        ("person", None) => Some(UserKind::Person),
        ("machine", Some(owner)) => Some(UserKind::Machine { owner }),
        _ => None,
    })?;
    Ok(User {
        id: row.parse(at, "an ID", UserId::parse)?,
        username: row.string(at + 1).map(Username::from_row)?,
        kind,
        role: decode_role(row, at + 3)?,
        description: row.string(at + 5).map(Note::from_row)?,
        create_time: row.time(at + 6)?,
        update_time: row.time(at + 7)?,
        deactivated: row.flag(at + 8)?,
    })
}

fn decode_role(row: &Row<'_>, at: usize) -> Result<Role, Error> {
    row.parse(at, "a role", |text| match text {
        "admin" => Some(Role::Admin),
        "member" => Some(Role::Member),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
