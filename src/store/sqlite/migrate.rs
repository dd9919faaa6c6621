//! Recognises, refuses or migrates the schema of a file.

use rusqlite::{Connection, TransactionBehavior, config::DbConfig};

use super::{
    checkpoint::{CheckpointMode, checkpoint},
    connect, fault,
    file::{APPLICATION_ID, Header, known_schema},
    lock::DatabaseLock,
    session::Session,
};
use crate::store::{
    error::{Error, Unavailable},
    migrations::MIGRATIONS,
    open::{OpenAs, OpenError, StoreOptions},
    tx::Tx,
};

/// Checks the schema and, as the server, migrates it. Recovers the log and truncates it.
pub(super) fn prepare(lock: &DatabaseLock, options: &StoreOptions) -> Result<(), OpenError> {
    let (path, open_as) = (lock.path(), options.open_as);
    let refuse = |error: rusqlite::Error| fault::of_opening(path, fault::of(error));
    let mut connection = connect::exclusive(path, options.busy_timeout).map_err(refuse)?;
    // Until the schema is known to be ours, closing must not write the log into the file.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(refuse)?;
    let header = header(&connection).map_err(refuse)?;
    header.check(path, open_as)?;
    if header.application_id == 0 {
        let tables = "SELECT count(*) FROM sqlite_schema";
        let count: i64 = connection
            .query_row(tables, (), |row| row.get(0))
            .map_err(refuse)?;
        if count > 0 {
            return Err(OpenError::Foreign {
                database: path.display().to_string(),
            });
        }
        if open_as == OpenAs::Embedded {
            return Err(OpenError::OlderSchema {
                database: path.display().to_string(),
                found: 0,
                known: known_schema(),
            });
        }
    }
    lock.write_log_anew()?;
    if open_as == OpenAs::Serve {
        use_wal(&connection).map_err(|error| fault::of_opening(path, error))?;
        migrate(&mut connection).map_err(|error| fault::of_opening(path, error))?;
    }
    // From here on the file's own header has the schema version, where the next start reads it. On a full disk this
    // fails, but the log has everything.
    match checkpoint(&connection, CheckpointMode::Truncate) {
        Err(error) if error.is_failed_sync() => Err(fault::of_opening(path, error)),
        _ => connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .map_err(refuse)
            .map(drop),
    }
}

/// Runs the pending migrations, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let done = header(connection).map_err(fault::of)?.schema;
    for (migration, schema) in MIGRATIONS.iter().zip(1..) {
        if schema <= done {
            continue;
        }
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault::of)?;
        transaction
            .execute_batch(migration.sql)
            .map_err(fault::of)?;
        (migration.finish)(&Tx::sqlite(Session::new(&transaction)))?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| transaction.pragma_update(None, "user_version", schema))
            .and_then(|()| transaction.commit())
            .map_err(fault::of)?;
    }
    Ok(())
}

pub(super) fn header(connection: &Connection) -> rusqlite::Result<Header> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
    Ok(Header {
        application_id: number("application_id")?,
        schema: number("user_version")?,
    })
}

fn use_wal(connection: &Connection) -> Result<(), Error> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
        .map_err(fault::of)?;
    if mode == "wal" {
        Ok(())
    } else {
        // The file system has no shared memory, on which everything else relies.
        Err(Error::unavailable(Unavailable::Io))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with the migrations up to `schema`.
    fn at(schema: i64) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..usize::try_from(schema).unwrap()] {
            connection.execute_batch(migration.sql).unwrap();
        }
        connection
            .pragma_update(None, "user_version", schema)
            .unwrap();
        connection
    }

    #[test]
    fn the_migration_reads_who_disabled_a_token_from_the_audit_log() {
        let mut connection = at(4);
        let user = |id: &str, owner: &str| {
            let kind = if owner == "NULL" { "person" } else { "machine" };
            format!(
                "INSERT INTO users (id, username, user_type, role, owner_id, description, create_time, \
                 update_time, deactivated) VALUES ('{id:0>22}', '{id}', '{kind}', 'member', {owner}, '', 0, 0, 0);"
            )
        };
        let token = |id: &str, user: &str, disabled: u8| {
            format!(
                "INSERT INTO tokens (id, user_id, hash, note, create_time, scopes, allowed_cidrs, disabled, \
                 family_id) VALUES ('{id:0>22}', '{user:0>22}', zeroblob(32), '', 0, '', '', {disabled}, '');"
            )
        };
        let row = |sequence: u8, actor: &str, target: &str, action: &str| {
            format!(
                "INSERT INTO audit VALUES ({sequence}, 0, '{actor}', '', '{target:0>22}', '{action}', 'ok', 1, '', \
                 '', '', '', zeroblob(32));"
            )
        };
        let id = |name: &str| format!("{name:0>22}");
        let owner = format!("'{}'", id("alice"));
        let before = [
            user("alice", "NULL"),
            user("robot", &owner),
            user("root", "NULL"),
            token("own", "alice", 1),
            token("byadmin", "alice", 1),
            token("bylocal", "robot", 1),
            token("byowner", "robot", 1),
            token("again", "alice", 1),
            token("purged", "alice", 1),
            token("enabled", "alice", 0),
            row(1, &id("alice"), "own", "token.disable"),
            row(2, &id("root"), "byadmin", "token.disable"),
            row(3, "local:0", "bylocal", "token.disable"),
            row(4, &id("alice"), "byowner", "token.disable"),
            // The latest one counts.
            row(5, &id("root"), "again", "token.disable"),
            row(6, &id("root"), "again", "token.enable"),
            row(7, &id("alice"), "again", "token.disable"),
            row(8, &id("root"), "enabled", "token.disable"),
        ];
        connection.execute_batch(&before.concat()).unwrap();
        migrate(&mut connection).unwrap();
        for (token, by) in [
            ("own", Some("owner")),
            ("byadmin", Some("admin")),
            ("bylocal", Some("admin")),
            ("byowner", Some("owner")),
            ("again", Some("owner")),
            ("purged", Some("owner")),
            ("enabled", None),
        ] {
            let sql = "SELECT disabled_by FROM tokens WHERE id = ?1";
            let found: Option<String> = connection
                .query_row(sql, [id(token)], |row| row.get(0))
                .unwrap();
            assert_eq!(found.as_deref(), by, "{token}");
        }
    }
}
