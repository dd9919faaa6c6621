//! Compares a file's schema with the one that the migrations create.

use std::{collections::BTreeMap, path::Path};

use rusqlite::Connection;

use super::{fault, migrate};
use crate::store::{
    error::{Error, Unavailable},
    open::OpenError,
};

/// One sentence per difference.
pub(super) fn findings(connection: &Connection) -> Result<Vec<String>, Error> {
    let Differences { lacks, extra } = compare(connection)?;
    Ok(lacks.into_iter().chain(extra).collect())
}

/// Refuses a damaged schema, which would make statements fail as if this program had a bug. Additional objects, such
/// as an operator's index, are harmless.
pub(super) fn refuse_damaged(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let source = match compare(connection) {
        Ok(Differences { lacks, .. }) if lacks.is_empty() => return Ok(()),
        Ok(_) => Error::unavailable(Unavailable::Corrupt),
        Err(error) => error,
    };
    let path = path.to_owned();
    Err(OpenError::Database { path, source })
}

struct Differences {
    lacks: Vec<String>,
    extra: Vec<String>,
}

/// Compares the schema with the one that the migrations create.
fn compare(connection: &Connection) -> Result<Differences, Error> {
    let mut fresh = Connection::open_in_memory().map_err(fault::of)?;
    migrate::migrate(&mut fresh)?;
    let expected = read(&fresh).map_err(fault::of)?;
    let mut found = read(connection).map_err(fault::of)?;
    let mut lacks = Vec::new();
    for (name, sql) in expected {
        match found.remove(&name) {
            None => lacks.push(format!("the schema lacks {name}")),
            Some(other) if other != sql => lacks.push(format!("the schema's {name} differs")),
            Some(_) => {}
        }
    }
    // SQLite's own tables, such as those of ANALYZE, are ignored.
    found.retain(|name, _| !name.contains(" sqlite_"));
    let extra = found
        .into_keys()
        .map(|name| format!("the schema has {name} too many"))
        .collect();
    Ok(Differences { lacks, extra })
}

fn read(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    let mut statement = connection.prepare("SELECT type || ' ' || name, sql FROM sqlite_schema")?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
