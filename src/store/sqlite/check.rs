//! Checks the whole database, or only its schema, and reports what is wrong with it.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, ErrorCode};

use super::{fault, file::known_schema};
use crate::store::{error::Error, migrations::MIGRATIONS, open::OpenError};

/// One sentence per problem, without any value of a row.
pub(super) fn run(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut findings = differences(connection)?;
    findings.extend(run_on_older_schema(connection)?);
    Ok(findings)
}

/// The same for a schema that is still to be migrated.
pub(super) fn run_on_older_schema(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut findings = damage(connection).map_err(fault::of)?;
    match broken_references(connection) {
        Ok(broken) => findings.extend(broken),
        // Nothing new: damaged pages end this check.
        Err(error) if !findings.is_empty() && is_damage(&error) => {}
        Err(error) => return Err(fault::of(error)),
    }
    Ok(findings)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// What `SQLite` finds, up to the damage that it cannot read beyond.
fn damage(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let mut findings = Vec::new();
    for row in statement.query_map((), |row| row.get::<_, String>(0))? {
        match row {
            Ok(line) if line == "ok" => {}
            Ok(line) => findings.push(line),
            Err(error) if is_damage(&error) => {
                findings.push("damaged pages ended the check early".to_owned());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

fn broken_references(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let rows = statement.query_map((), |row| {
        let (table, row_id, parent): (String, Option<i64>, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let row_id = row_id.unwrap_or_default();
        Ok(format!(
            "row {row_id} of {table} refers to a missing row of {parent}"
        ))
    })?;
    rows.collect()
}

/// One sentence per difference.
fn differences(connection: &Connection) -> Result<Vec<String>, Error> {
    let Differences { lacks, extra } = compare_schema(connection, known_schema())?;
    Ok(lacks.into_iter().chain(extra).collect())
}

/// Refuses tables that are not those of `schema`: statements and migrations would fail as if this program had a bug.
/// Additional objects, such as an operator's index, are harmless.
pub(super) fn refuse_altered_schema(
    connection: &Connection,
    schema: i64,
    path: &Path,
) -> Result<(), OpenError> {
    let database = path.display().to_string();
    match compare_schema(connection, schema) {
        Ok(Differences { lacks, .. }) if lacks.is_empty() => Ok(()),
        Ok(Differences { lacks, .. }) => {
            let first = lacks[..lacks.len().min(3)].join(", ");
            let differences = match lacks.len() - lacks.len().min(3) {
                0 => first,
                more => format!("{first} and {more} more"),
            };
            Err(OpenError::AlteredSchema {
                database,
                differences,
            })
        }
        Err(source) => Err(OpenError::Database { database, source }),
    }
}

struct Differences {
    lacks: Vec<String>,
    extra: Vec<String>,
}

/// Compares the schema with the one that the first `schema` migrations create.
fn compare_schema(connection: &Connection, schema: i64) -> Result<Differences, Error> {
    let fresh = Connection::open_in_memory().map_err(fault::of)?;
    let count = usize::try_from(schema).unwrap_or(0);
    for migration in MIGRATIONS.iter().take(count) {
        fresh.execute_batch(migration.sql).map_err(fault::of)?;
    }
    let expected = read_schema(&fresh).map_err(fault::of)?;
    let mut found = read_schema(connection).map_err(fault::of)?;
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

fn read_schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    let mut statement = connection.prepare("SELECT type || ' ' || name, sql FROM sqlite_schema")?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::in_memory;

    #[test]
    fn an_intact_database_has_no_findings() {
        assert_eq!(run(&in_memory()).unwrap(), [""; 0]);
    }

    #[test]
    fn a_changed_schema_and_a_broken_reference_are_reported() {
        let connection = in_memory();
        let harm = "PRAGMA foreign_keys = OFF; DROP INDEX tokens_children; CREATE TABLE extra (a); \
                    INSERT INTO tokens (id, user_id, hash, note, create_time, scopes, allowed_cidrs, disabled, \
                    family_id) VALUES ('0123456789012345678901', 'nobody', zeroblob(32), '', 0, '', '', 0, '')";
        connection.execute_batch(harm).unwrap();
        let expected = [
            "the schema lacks index tokens_children",
            "the schema has table extra too many",
            "row 1 of tokens refers to a missing row of users",
        ];
        assert_eq!(run(&connection).unwrap(), expected);
    }

    #[test]
    fn a_row_missing_from_an_index_is_reported() {
        let connection = in_memory();
        let harm = "PRAGMA writable_schema = ON; \
                    INSERT INTO users VALUES ('0123456789012345678901', 'alice', 'person', 'admin', NULL, \
                    '', NULL, 0, 0, 0, NULL); \
                    UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema \
                    WHERE name = 'tokens_listed') WHERE name = 'users_admins'; \
                    PRAGMA writable_schema = RESET";
        connection.execute_batch(harm).unwrap();
        assert!(!run(&connection).unwrap().is_empty());
    }
}
