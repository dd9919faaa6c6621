//! The stored audit log, read directly, since reading it by the API adds a row.

use hallpass::domain::{
    audit::{AuditRow, ChainHash, ChainHead},
    audit_chain::{Chain, Expectation, Verdict},
    time::Timestamp,
};
use rusqlite::{Connection, Row};

/// Verifies the chain.
pub(crate) fn verify_audit(
    sql: &Connection,
    noted: Option<ChainHead>,
) -> rusqlite::Result<Verdict> {
    let mut chain = Chain::new(Expectation {
        noted,
        ..Expectation::default()
    });
    let mut rows = sql.prepare("SELECT * FROM audit ORDER BY sequence")?;
    for row in rows.query_map((), read)? {
        chain.check(&row?);
    }
    Ok(chain.finish())
}

/// Recomputes the hashes of all rows, each in its format.
pub(crate) fn rechain(sql: &Connection) {
    let mut select = sql
        .prepare("SELECT * FROM audit ORDER BY sequence")
        .unwrap();
    let rows = select.query_map((), read).unwrap();
    let mut before = ChainHash::START;
    for row in rows.map(Result::unwrap).collect::<Vec<_>>() {
        before = row.compute_hash(before);
        let update = "UPDATE audit SET hash = ?2 WHERE sequence = ?1";
        sql.execute(update, (row.sequence, before.as_bytes()))
            .unwrap();
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        format: row.get("format")?,
        sequence: row.get("sequence")?,
        time: Timestamp::from_micros(row.get("time")?),
        actor: row.get("actor")?,
        credential_kind: row.get("credential_kind")?,
        credential_id: row.get("credential_id")?,
        target: row.get("target")?,
        successor_id: row.get("successor_id")?,
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
