//! The users table. A deleted user's row stays, so that its name is never reused. Only [`username_taken`],
//! [`username`], [`find_id`] and [`is_empty`] see it.

use super::{
    conditions::Keyset,
    error::Error,
    row::{Row, Value},
    tx::Tx,
};
use crate::domain::{
    id::UserId,
    note::Note,
    page::Position,
    time::Timestamp,
    user::{Role, User, UserKind, Username},
};

/// The columns that [`decode`] reads.
pub(super) const COLUMNS: &str = "id, username, user_type, role, owner_id, description, create_time, update_time, \
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

/// Selects by type of user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Only people.
    People,
    /// Only machines.
    Machines,
}

/// Inserts a user, with the password hash if it is a person.
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
    tx.find(&sql, &[id.into()], decode)
}

/// The user of that name, unless it is deleted.
pub fn find_by_username(tx: &Tx<'_>, username: &Username) -> Result<Option<User>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE username = ?1 AND delete_time IS NULL");
    tx.find(&sql, &[username.as_str().into()], decode)
}

/// The user's name, even if the user is deleted.
pub fn username(tx: &Tx<'_>, id: UserId) -> Result<Option<Username>, Error> {
    let sql = "SELECT username FROM users WHERE id = ?1";
    tx.find(sql, &[id.into()], |row| {
        row.string("username").map(Username::from_row)
    })
}

/// The ID of the user with this name, even if the user is deleted.
pub fn find_id(tx: &Tx<'_>, username: &Username) -> Result<Option<UserId>, Error> {
    let sql = "SELECT id FROM users WHERE username = ?1";
    tx.find(sql, &[username.as_str().into()], |row| {
        row.parse("id", "an ID", UserId::parse)
    })
}

/// Whether any user has this name, deleted ones included.
pub fn username_taken(tx: &Tx<'_>, username: &Username) -> Result<bool, Error> {
    Ok(find_id(tx, username)?.is_some())
}

/// The user with this name, and the password hash; a machine has none.
pub fn find_sign_in(
    tx: &Tx<'_>,
    username: &Username,
) -> Result<Option<(User, Option<String>)>, Error> {
    let sql = format!(
        "SELECT {COLUMNS}, password_hash FROM users WHERE username = ?1 AND delete_time IS NULL"
    );
    tx.find(&sql, &[username.as_str().into()], |row| {
        let user = decode(row)?;
        Ok((user, row.opt_text("password_hash")?.map(str::to_owned)))
    })
}

/// The user's password hash; `None` if there is no such user or it has no password.
pub fn password_hash(tx: &Tx<'_>, id: UserId) -> Result<Option<String>, Error> {
    let sql = "SELECT password_hash FROM users WHERE id = ?1 AND delete_time IS NULL";
    let hash = tx.find(sql, &[id.into()], |row| {
        Ok(row.opt_text("password_hash")?.map(str::to_owned))
    })?;
    Ok(hash.flatten())
}

/// Stores a user's role, owner, description, update time and state. False if there is no such user.
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

/// Sets a person's password hash. False if there is no such person.
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

/// Deletes a user, keeping its name and times. False if there is no such user. The caller must handle its tokens and
/// machines.
pub fn mark_deleted(tx: &Tx<'_>, id: UserId, now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE users SET delete_time = ?2, update_time = ?2, description = '', \
               password_hash = NULL WHERE id = ?1 AND delete_time IS NULL";
    tx.execute_one(sql, &[id.into(), now.into()])
}

/// At most `limit` users after position `after` by (create time, ID), in ascending order, or descending in `reverse`.
pub fn list(
    tx: &Tx<'_>,
    filter: &UserFilter,
    after: Option<Position>,
    reverse: bool,
    limit: u32,
) -> Result<Vec<User>, Error> {
    let (order, compare) = if reverse { ("DESC", "<") } else { ("ASC", ">") };
    // Each part is in order already, so the engine merges them without sorting.
    let parts: Vec<_> = filter
        .parts("?4")
        .iter()
        .map(|part| {
            format!(
                "SELECT {COLUMNS} FROM users WHERE {part} AND (create_time, id) {compare} (?1, ?2)"
            )
        })
        .collect();
    let parts = parts.join(" UNION ALL ");
    let sql = format!("{parts} ORDER BY create_time {order}, id {order} LIMIT ?3");
    let keyset = Keyset::new(after, reverse);
    let mut params = vec![keyset.time(), keyset.id(), limit.into()];
    params.extend(filter.visible_to.map(Value::from));
    tx.list(&sql, &params, decode)
}

/// How many users [`list`] would return without a limit.
pub fn count(tx: &Tx<'_>, filter: &UserFilter) -> Result<u64, Error> {
    let parts: Vec<_> = filter
        .parts("?1")
        .iter()
        .map(|part| format!("(SELECT count(*) FROM users WHERE {part})"))
        .collect();
    let params: Vec<_> = filter.visible_to.map(Value::from).into_iter().collect();
    tx.number(&format!("SELECT {}", parts.join(" + ")), &params)
}

/// The number of people who are active admins.
pub fn count_active_admins(tx: &Tx<'_>) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM users WHERE delete_time IS NULL AND deactivated = 0 \
               AND role = 'admin' AND user_type = 'person'";
    tx.number(sql, &[])
}

/// The number of machines that a person owns, deactivated ones included.
pub fn count_machines(tx: &Tx<'_>, owner: UserId) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM users WHERE owner_id = ?1 AND delete_time IS NULL";
    tx.number(sql, &[owner.into()])
}

/// Whether there has never been any user.
pub fn is_empty(tx: &Tx<'_>) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM users WHERE username > '' LIMIT 1";
    Ok(tx.find(sql, &[], |_| Ok(()))?.is_none())
}

impl UserFilter {
    /// The conditions of the index ranges to read; `user` is the parameter with the viewer's ID. Each range is in
    /// order and has no other rows, except that of the viewer's own machines, which are few.
    fn parts(&self, user: &str) -> Vec<String> {
        let states: &[u8] = match self.deactivated {
            None => &[0, 1],
            Some(false) => &[0],
            Some(true) => &[1],
        };
        let kinds: &[&str] = match self.kind {
            None => &["person", "machine"],
            Some(KindFilter::People) => &["person"],
            Some(KindFilter::Machines) => &["machine"],
        };
        let mut parts = Vec::new();
        for (state, kind) in states
            .iter()
            .flat_map(|s| kinds.iter().map(move |k| (s, k)))
        {
            let range =
                format!("delete_time IS NULL AND deactivated = {state} AND user_type = '{kind}'");
            if self.visible_to.is_none() {
                parts.push(range);
                continue;
            }
            parts.push(format!("id = {user} AND {range}"));
            if *kind == "machine" {
                // The `+` keeps the engine from using the index of all users.
                let state = format!("delete_time IS NULL AND +deactivated = {state}");
                parts.push(format!("owner_id = {user} AND {state}"));
            }
        }
        parts
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

/// Decodes a user from [`COLUMNS`], in their order.
pub(super) fn decode(row: &Row<'_>) -> Result<User, Error> {
    let id = row.parse("id", "an ID", UserId::parse)?;
    let username = row.string("username").map(Username::from_row)?;
    let kind = row.text("user_type")?;
    let role = row.parse("role", "a role", |text| match text {
        "admin" => Some(Role::Admin),
        "member" => Some(Role::Member),
        _ => None,
    })?;
    let owner = row.opt_parse("owner_id", "an ID", UserId::parse)?;
    Ok(User {
        id,
        username,
        kind: match (kind, owner) {
            ("person", None) => UserKind::Person,
            ("machine", Some(owner)) => UserKind::Machine { owner },
            _ => return Err(row.bad("user_type", "a user type")),
        },
        role,
        description: row.string("description").map(Note::from_row)?,
        create_time: row.time("create_time")?,
        update_time: row.time("update_time")?,
        deactivated: row.flag("deactivated")?,
    })
}
