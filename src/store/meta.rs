//! Metadata of the database.

use super::{error::Error, row::Value, tx::Tx};
use crate::domain::{page::PageKey, random, time::Timestamp};

const PAGE_KEY: &str = "page_key";
const POLICIES: &str = "policies";

/// The key that signs page tokens.
pub fn page_key(tx: &Tx<'_>) -> Result<PageKey, Error> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    tx.find(sql, &[PAGE_KEY.into()], |row| {
        row.bytes("value").map(PageKey::from_row)
    })?
    .ok_or_else(|| Error::Row {
        column: PAGE_KEY.to_owned(),
        expected: "there",
    })
}

/// Creates the key that signs page tokens. Only the first migration calls this.
pub(super) fn create_page_key(tx: &Tx<'_>) -> Result<(), Error> {
    let key = random::bytes::<32>();
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
    tx.execute(sql, &[PAGE_KEY.into(), (&key).into()])?;
    Ok(())
}

/// When the purge last ran.
pub fn purge_time(tx: &Tx<'_>) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT last_time FROM jobs WHERE name = 'purge'";
    tx.find(sql, &[], |row| row.time("last_time"))
}

/// Records when the purge last ran.
pub fn set_purge_time(tx: &Tx<'_>, now: Timestamp) -> Result<(), Error> {
    tx.set_job_time("purge", now)
}

/// The time up to which the purge of the audit log took the clock for right.
pub fn audit_purge_time(tx: &Tx<'_>) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT last_time FROM jobs WHERE name = 'audit_purge'";
    tx.find(sql, &[], |row| row.time("last_time"))
}

/// Records that time.
pub fn set_audit_purge_time(tx: &Tx<'_>, time: Timestamp) -> Result<(), Error> {
    tx.set_job_time("audit_purge", time)
}

/// The policies that the last server stored.
pub fn policies(tx: &Tx<'_>) -> Result<Option<Vec<u8>>, Error> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    tx.find(sql, &[POLICIES.into()], |row| row.blob("value"))
}

/// Replaces the stored policies.
pub fn set_policies(tx: &Tx<'_>, policies: &[u8]) -> Result<(), Error> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[POLICIES.into(), Value::Blob(policies)])?;
    Ok(())
}
