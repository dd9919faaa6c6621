//! Reads a whole backup without changing it, and reports what it holds and what is wrong with it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{
    check, fault,
    file::{known_schema, version},
    migrate,
    session::Session,
};
use crate::{
    domain::{
        audit::ChainHead,
        audit_chain::{Break, Chain, Expectation},
    },
    store::{
        audit,
        error::Error,
        open::{OpenAs, OpenError},
        tx::Tx,
    },
};

/// How many rows of the audit log are read at a time.
const CHUNK: u32 = 500;

/// What a backup holds.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The version of its schema.
    pub schema: i64,
    /// What is wrong with it, a sentence each; empty if it is intact.
    pub findings: Vec<String>,
    /// How many rows its audit log has.
    pub rows: u64,
    /// The last of them.
    pub head: ChainHead,
    /// Where the audit log's chain is broken.
    pub breaks: Vec<Break>,
    /// The number of users that are not deleted.
    pub users: u64,
    /// The number of tokens that are not revoked.
    pub tokens: u64,
}

/// Checks the file at `path`, which nobody else may write meanwhile.
///
/// # Errors
/// It is no database of Hallpass, it is from a newer one, or it cannot be read.
pub fn inspect(path: &Path) -> Result<Inspection, OpenError> {
    let refuse = |error| fault::of_opening(path, error);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| refuse(fault::of(error)))?;
    let header = migrate::header(&connection).map_err(|error| refuse(fault::of(error)))?;
    // An older schema is migrated when it is restored.
    header.check(path, OpenAs::Serve, || version(&connection))?;
    if header.application_id == 0 {
        return Err(OpenError::Foreign {
            database: path.display().to_string(),
        });
    }
    read(&connection, header.schema).map_err(refuse)
}

/// Reads it all.
pub(super) fn read(connection: &Connection, schema: i64) -> Result<Inspection, Error> {
    let findings = if schema == known_schema() {
        check::run(connection)?
    } else {
        check::run_on_older_schema(connection)?
    };
    connection.execute_batch("BEGIN").map_err(fault::of)?;
    let tx = Tx::sqlite(Session::new(connection));
    let mut chain = Chain::new(Expectation::default());
    let mut after = None;
    // The columns of older schemas are others; those are checked once they are migrated.
    while schema == known_schema() {
        let rows = audit::list_all(&tx, after, CHUNK)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.sequence);
        for row in &rows {
            chain.check(row);
        }
    }
    let verdict = chain.finish();
    let count = |sql| tx.number(sql, &[]);
    let inspection = Inspection {
        schema,
        findings,
        rows: verdict.rows,
        head: verdict.head,
        breaks: verdict.breaks,
        users: count("SELECT count(*) FROM users WHERE delete_time IS NULL")?,
        tokens: count("SELECT count(*) FROM tokens WHERE delete_time IS NULL")?,
    };
    connection.execute_batch("ROLLBACK").map_err(fault::of)?;
    Ok(inspection)
}
