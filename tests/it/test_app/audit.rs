//! The audit log as it is stored, without a read of it that would be a row of its own.

use hallpass::domain::{
    audit::{AuditRow, ChainHash, ChainHead},
    audit_chain::{Chain, Verdict},
    time::Timestamp,
};
use rusqlite::{Connection, Row};

/// What verifying the chain finds.
pub(crate) fn verify_audit(
    sql: &Connection,
    noted: Option<ChainHead>,
) -> rusqlite::Result<Verdict> {
    let mut chain = Chain::new(noted);
    let mut rows = sql.prepare("SELECT * FROM audit WHERE sequence > 0 ORDER BY sequence")?;
    for row in rows.query_map((), read)? {
        chain.check(&row?);
    }
    Ok(chain.finish())
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get("sequence")?,
        time: Timestamp::from_micros(row.get("time")?),
        actor: row.get("actor")?,
        credential_id: row.get("credential_id")?,
        target: row.get("target")?,
        action: row.get("action")?,
        outcome: row.get("outcome")?,
        count: row.get("count")?,
        request_id: row.get("request_id")?,
        client_request_id: row.get("client_request_id")?,
        ip: row.get("ip")?,
        user_agent: row.get("user_agent")?,
        hash: ChainHash::from_bytes(row.get("hash")?),
    })
}
