//! Metadata of the database.

use super::{error::Error, row::Value, tx::Tx};
use crate::domain::{
    audit::ChainHead, page::PageKey, random, time::Timestamp, token_text::TokenHash,
};

const PAGE_KEY: &str = "page_key";
const POLICIES: &str = "policies";
const VERSION: &str = "version";
const BOOTSTRAP_TOKEN: &str = "bootstrap_token";

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

/// The last row that the audit sink of this name has, as it was last stored.
pub fn sink_position(tx: &Tx<'_>, sink: &str) -> Result<Option<ChainHead>, Error> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let key = sink_key(sink);
    let found = tx.find(sql, &[key.as_str().into()], |row| row.blob("value"))?;
    let text = found.and_then(|text| String::from_utf8(text).ok());
    Ok(text.and_then(|text| ChainHead::parse(&text)))
}

/// Stores that row.
pub fn set_sink_position(tx: &Tx<'_>, sink: &str, last: ChainHead) -> Result<(), Error> {
    tx.set_sink_position(&sink_key(sink), last.to_string().as_bytes())
}

fn sink_key(sink: &str) -> String {
    format!("audit_sink {sink}")
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
    find(tx, POLICIES)
}

/// Replaces the stored policies.
pub fn set_policies(tx: &Tx<'_>, policies: &[u8]) -> Result<(), Error> {
    set(tx, POLICIES, policies)
}

/// The version of Hallpass that last served or migrated the database. The first ones did not store theirs. A newer
/// one may have stored anything, so what no version looks like is left out.
pub(super) fn version(tx: &Tx<'_>) -> Result<Option<String>, Error> {
    let version = find(tx, VERSION)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let is_version = |text: &String| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
    };
    Ok(version.filter(is_version))
}

/// Stores this program's version.
pub(super) fn set_version(tx: &Tx<'_>) -> Result<(), Error> {
    set(tx, VERSION, env!("CARGO_PKG_VERSION").as_bytes())
}

fn find(tx: &Tx<'_>, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    tx.find(sql, &[key.into()], |row| row.blob("value"))
}

/// The hash of the token that the first start leaves in a file. It is noted before that file is written, and so before
/// the token exists.
pub fn bootstrap_token(tx: &Tx<'_>) -> Result<Option<TokenHash>, Error> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    tx.find(sql, &[BOOTSTRAP_TOKEN.into()], |row| {
        row.bytes("value").map(TokenHash::from_row)
    })
}

/// Replaces that hash.
pub fn set_bootstrap_token(tx: &Tx<'_>, hash: &TokenHash) -> Result<(), Error> {
    set(tx, BOOTSTRAP_TOKEN, hash.as_bytes())
}

fn set(tx: &Tx<'_>, key: &str, value: &[u8]) -> Result<(), Error> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[key.into(), Value::Blob(value)])?;
    Ok(())
}
