//! Keeps ended what another database has ended: the backup is `main`, the database that is there `there`.
//!
//! A row only ever becomes narrower here. What the backup has ended or limited stays so, too.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Params};

use crate::domain::{
    audit::{ChainHash, ChainHead},
    cidr::CidrSet,
    scope::ScopeSet,
    time::Timestamp,
};

/// What has ended or was limited since a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The number of tokens that have been revoked, rotated, disabled or limited.
    pub tokens: usize,
    /// The number of users that have been deleted, deactivated or limited, or have another password or owner.
    pub users: usize,
    /// Whether the database's audit log goes on where the backup's ends. If not, tokens that the database never knew are
    /// counted as ended, too.
    pub is_later: bool,
    /// Whether an active admin is left.
    pub has_admin: bool,
}

/// Ranks who disabled a token, as `DisabledBy` does.
const RANK: &str =
    "CASE coalesce(disabled_by, 'owner') WHEN 'owner' THEN 1 WHEN 'admin' THEN 2 ELSE 3 END";

/// Revokes live tokens that `there` does not have: it has purged them.
const PURGED: &str = "UPDATE main.tokens SET delete_time = ?1 WHERE delete_time IS NULL \
     AND (expire_time IS NULL OR expire_time > ?1) AND id NOT IN (SELECT id FROM there.tokens) RETURNING id";

/// Each narrows tokens that both have. Parameters: none.
const TOKENS: [&str; 4] = [
    "UPDATE main.tokens AS o SET delete_time = t.delete_time FROM there.tokens AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND t.delete_time IS NOT NULL RETURNING id",
    // A rotation, whose successor the backup does not have.
    "UPDATE main.tokens AS o SET successor_id = t.successor_id, \
     expire_time_before_rotation = t.expire_time_before_rotation FROM there.tokens AS t WHERE t.id = o.id \
     AND o.successor_id IS NULL AND t.successor_id IS NOT NULL RETURNING id",
    "UPDATE main.tokens AS o SET expire_time = t.expire_time FROM there.tokens AS t WHERE t.id = o.id \
     AND t.expire_time IS NOT NULL AND (o.expire_time IS NULL OR o.expire_time > t.expire_time) RETURNING id",
    "UPDATE main.tokens AS o SET reuse_time = t.reuse_time FROM there.tokens AS t WHERE t.id = o.id \
     AND o.reuse_time IS NULL AND t.reuse_time IS NOT NULL RETURNING id",
];

/// Each narrows users that both have.
const USERS: [&str; 6] = [
    // A former owner must not act on a machine.
    "UPDATE main.users AS o SET owner_id = t.owner_id FROM there.users AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND t.owner_id <> o.owner_id AND t.owner_id IN (SELECT id FROM main.users) RETURNING id",
    // The machine of an owner that cannot be there.
    "UPDATE main.users AS o SET deactivated = 1 FROM there.users AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND o.deactivated = 0 AND t.owner_id <> o.owner_id RETURNING id",
    // An old password must not work again; the present one goes on.
    "UPDATE main.users AS o SET password_hash = t.password_hash FROM there.users AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND t.password_hash IS NOT o.password_hash RETURNING id",
    "UPDATE main.users AS o SET role = 'member' FROM there.users AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND o.role = 'admin' AND t.role = 'member' RETURNING id",
    "UPDATE main.users AS o SET deactivated = 1 FROM there.users AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND o.deactivated = 0 AND t.deactivated = 1 RETURNING id",
    "UPDATE main.users AS o SET delete_time = t.delete_time, deactivated = t.deactivated, description = t.description, \
     password_hash = NULL FROM there.users AS t WHERE t.id = o.id \
     AND o.delete_time IS NULL AND t.delete_time IS NOT NULL RETURNING id",
];

/// Owners that became such since the backup: without their rows their machines would keep former owners.
const NEW_OWNERS: &str = "INSERT OR IGNORE INTO main.users (id, username, user_type, role, owner_id, description, password_hash, \
     create_time, update_time, deactivated, delete_time) \
     SELECT id, username, user_type, role, owner_id, description, password_hash, create_time, update_time, \
     deactivated, delete_time FROM there.users WHERE user_type = 'person' AND id IN (\
     SELECT t.owner_id FROM main.users AS o JOIN there.users AS t ON t.id = o.id \
     WHERE o.delete_time IS NULL AND t.owner_id <> o.owner_id) AND id NOT IN (SELECT id FROM main.users)";

/// A machine that `there` never knew, of an owner that is deleted now.
const ORPHANS: &str = "UPDATE main.users SET deactivated = 1 WHERE delete_time IS NULL AND deactivated = 0 \
     AND owner_id IN (SELECT id FROM main.users WHERE delete_time IS NOT NULL) RETURNING id";

/// Ends and limits in `main` whatever has ended or is limited in `there`.
pub(super) fn keep_ended(connection: &Connection, now: Timestamp) -> rusqlite::Result<Ended> {
    let is_later = is_later(connection)?;
    let (mut tokens, mut users) = (BTreeSet::new(), BTreeSet::new());
    tokens.extend(ids(connection, PURGED, [now.as_micros()])?);
    for sql in TOKENS {
        tokens.extend(ids(connection, sql, ())?);
    }
    tokens.extend(ids(connection, &disable(), ())?);
    tokens.extend(narrow(connection, now)?);
    connection.execute(NEW_OWNERS, ())?;
    for sql in USERS {
        users.extend(ids(connection, sql, ())?);
    }
    users.extend(ids(connection, ORPHANS, ())?);
    // No older than what was stored last: policies, and the time from which the purge goes on.
    connection.execute_batch(
        "INSERT OR REPLACE INTO main.meta (key, value) SELECT key, value FROM there.meta WHERE key = 'policies'; \
         UPDATE main.jobs AS o SET last_time = max(o.last_time, t.last_time) FROM there.jobs AS t WHERE t.name = o.name;",
    )?;
    let admin = "SELECT EXISTS (SELECT 1 FROM main.users WHERE delete_time IS NULL AND deactivated = 0 \
                 AND role = 'admin' AND user_type = 'person')";
    Ok(Ended {
        tokens: tokens.len(),
        users: users.len(),
        is_later,
        has_admin: connection.query_row(admin, (), |row| row.get(0))?,
    })
}

/// Whoever disabled it with the higher authority counts.
fn disable() -> String {
    let rank = |table: &str| RANK.replace("disabled_by", &format!("{table}.disabled_by"));
    let (own, its) = (rank("o"), rank("t"));
    format!(
        "UPDATE main.tokens AS o SET disabled = 1, disabled_by = coalesce(t.disabled_by, 'owner') \
         FROM there.tokens AS t WHERE t.id = o.id AND t.disabled = 1 AND (o.disabled = 0 OR {its} > {own}) RETURNING id"
    )
}

/// Limits tokens to the scopes and networks that both databases allow. A token that is left with none is revoked, since
/// an empty list would mean all.
fn narrow(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<String>> {
    let differ = "SELECT o.id, o.scopes, t.scopes, o.allowed_cidrs, t.allowed_cidrs FROM main.tokens AS o \
                  JOIN there.tokens AS t ON t.id = o.id \
                  WHERE o.scopes <> t.scopes OR o.allowed_cidrs <> t.allowed_cidrs";
    let mut statement = connection.prepare(differ)?;
    let rows = statement.query_map((), |row| {
        let text = |at| row.get::<_, String>(at);
        Ok((text(0)?, [text(1)?, text(2)?], [text(3)?, text(4)?]))
    })?;
    let mut narrowed = Vec::new();
    for row in rows.collect::<rusqlite::Result<Vec<_>>>()? {
        let (id, scopes, cidrs) = row;
        let [own, its] = scopes.clone().map(|text| ScopeSet::from_row(&text));
        let in_common = own.in_common(&its);
        let [own, its] = cidrs.clone().map(|text| CidrSet::from_row(&text));
        let networks = own.zip(its).and_then(|(own, its)| own.in_common(&its));
        let (Some(in_common), Some(networks)) = (in_common, networks) else {
            let revoke =
                "UPDATE main.tokens SET delete_time = ?2 WHERE id = ?1 AND delete_time IS NULL";
            connection.execute(revoke, (&id, now.as_micros()))?;
            narrowed.push(id);
            continue;
        };
        let (in_common, networks) = (in_common.to_string(), networks.to_string());
        if in_common != scopes[0] || networks != cidrs[0] {
            let limit = "UPDATE main.tokens SET scopes = ?2, allowed_cidrs = ?3 WHERE id = ?1";
            connection.execute(limit, (&id, in_common, networks))?;
            narrowed.push(id);
        }
    }
    Ok(narrowed)
}

fn ids(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let ids = statement.query_map(params, |row| row.get(0))?;
    ids.collect()
}

/// Whether the log of `there` has the last row of the backup's, or no longer has rows of that time.
fn is_later(connection: &Connection) -> rusqlite::Result<bool> {
    let Some(head) = head(connection, "main")? else {
        return Ok(true);
    };
    let first = "SELECT min(sequence) FROM there.audit";
    let first: Option<i64> = connection.query_row(first, (), |row| row.get(0))?;
    let same = "SELECT hash = ?2 FROM there.audit WHERE sequence = ?1";
    let same: Option<bool> = connection
        .query_row(same, (head.sequence, head.hash.as_bytes()), |row| {
            row.get(0)
        })
        .optional()?;
    Ok(same.unwrap_or(first.is_some_and(|first| first > head.sequence)))
}

/// The last row of the log of `there`.
pub(super) fn head_there(connection: &Connection) -> rusqlite::Result<Option<ChainHead>> {
    head(connection, "there")
}

fn head(connection: &Connection, schema: &str) -> rusqlite::Result<Option<ChainHead>> {
    let sql = format!("SELECT sequence, hash FROM {schema}.audit ORDER BY sequence DESC LIMIT 1");
    let row = connection.query_row(&sql, (), |row| {
        Ok(ChainHead {
            sequence: row.get(0)?,
            hash: ChainHash::from_bytes(row.get(1)?),
        })
    });
    row.optional()
}

/// What is wrong with `there`, if anything is.
pub(super) fn damage_there(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let check = "PRAGMA there.integrity_check(1)";
    let found: String = connection.query_row(check, (), |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}
