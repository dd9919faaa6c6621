//! Recognises, refuses or migrates the schema of a file.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{
    Batch, Connection, TransactionBehavior, config::DbConfig,
    fallible_iterator::FallibleIterator as _,
};

use super::{
    check,
    checkpoint::{CheckpointMode, checkpoint},
    connect, fault,
    file::{APPLICATION_ID, DatabaseFile, Header, known_schema, version},
    in_use,
    lock::DatabaseLock,
    open::SqliteOptions,
    session::Session,
};
use crate::store::{
    audit,
    error::{Error, Unavailable},
    meta,
    migrations::{MIGRATIONS, Migration},
    open::{MigrationStep, OpenAs, OpenError, SchemaChange, StoreOptions},
    tx::Tx,
};

/// Checks the schema and, as the server, migrates it. Recovers the log and truncates it.
pub(super) fn prepare(
    lock: &DatabaseLock,
    options: &StoreOptions,
) -> Result<(SchemaChange, LastUse), OpenError> {
    let lacks_log = lock.lacks_its_log()?;
    let (path, open_as) = (lock.path(), options.open_as);
    let refuse = |error: rusqlite::Error| fault::of_opening(path, fault::of(error));
    // Until the schema is known to be ours, closing must not write a log into the file.
    let had_log = lock.database().has_log();
    let mut connection = connect::exclusive(path, options.busy_timeout).map_err(refuse)?;
    checkpoint_on_close(&connection, !had_log).map_err(refuse)?;
    let mut change = recognise(&connection, path, open_as)?;
    let last_use =
        LastUse::of(&connection, lacks_log).map_err(|error| fault::of_opening(path, error))?;
    lock.write_log_anew()?;
    if open_as == OpenAs::Serve {
        check::refuse_altered_schema(&connection, change.from, path)?;
        use_wal(&connection).map_err(|error| fault::of_opening(path, error))?;
        if change.from > 0 && change.from < change.to {
            tracing::info!(
                path = %path.display(),
                "the database has schema {}, and this hallpass needs {}: migrating it; the only way back is a backup \
                 from before",
                change.from,
                change.to,
            );
        }
        sort_on_disk(&connection, lock.database()).map_err(refuse)?;
        let began = Instant::now();
        if let Err(source) = migrate(&mut connection, &change, options) {
            if source.is_failed_sync() || change.from == change.to {
                return Err(fault::of_opening(path, source));
            }
            // What was undone would keep its space in the log.
            checkpoint_on_close(&connection, true).map_err(refuse)?;
            return Err(OpenError::Migration {
                database: path.display().to_string(),
                from: change.from,
                to: change.to,
                source,
            });
        }
        change.duration = began.elapsed();
    }
    if last_use == LastUse::Killed {
        // Its log was there, and is about to be in the file. On a full disk the mark stays, as does the log.
        match in_use::unmark(&connection) {
            Err(error) if error.is_failed_sync() => return Err(fault::of_opening(path, error)),
            _ => {}
        }
    }
    // From here on the file's own header has the schema version, where the next start reads it. On a full disk this
    // fails, but the log has everything.
    match checkpoint(&connection, CheckpointMode::Truncate) {
        Err(error) if error.is_failed_sync() => Err(fault::of_opening(path, error)),
        _ => checkpoint_on_close(&connection, true)
            .map(|_| (change, last_use))
            .map_err(refuse),
    }
}

/// What the server would do to the schema. Changes nothing, and does not wait for a process that owns the database.
pub(super) fn pending(
    sqlite: &SqliteOptions,
    options: &StoreOptions,
) -> Result<SchemaChange, OpenError> {
    let database = DatabaseFile::find(sqlite, options.open_as)?;
    database.check_files(sqlite)?;
    let unlocked = StoreOptions {
        open_as: OpenAs::Embedded,
        lock_wait: Duration::ZERO,
        ..options.clone()
    };
    if !database.exists {
        return Ok(SchemaChange::of(&database.path, 0, None));
    }
    let file = database.open(OpenAs::Embedded)?;
    // Whoever owns the database has written its schema into the file.
    let lock = match DatabaseLock::acquire(sqlite, &unlocked) {
        Err(OpenError::AlreadyServed { .. }) => None,
        lock => Some(lock?),
    };
    let refuse = |error: rusqlite::Error| fault::of_opening(&database.path, fault::of(error));
    if lock.is_some() && database.has_log() {
        let connection =
            connect::exclusive(&database.path, options.busy_timeout).map_err(refuse)?;
        checkpoint_on_close(&connection, false).map_err(refuse)?;
        return recognise(&connection, &database.path, options.open_as);
    }
    let Some(header) = database.header(&file)? else {
        return Ok(SchemaChange::of(&database.path, 0, None));
    };
    if lock.is_some() {
        let connection = connect::unopened(&database.path).map_err(refuse)?;
        return recognise(&connection, &database.path, options.open_as);
    }
    header.check(&database.path, options.open_as, || None)?;
    Ok(SchemaChange::of(&database.path, header.schema, None))
}

/// Lets a migration sort in files beside the database: new indices of millions of rows do not fit the memory of a small
/// machine, and a container may have no other folder to write to.
fn sort_on_disk(connection: &Connection, database: &DatabaseFile) -> rusqlite::Result<()> {
    let Some(folder) = database.folder.to_str() else {
        return Ok(());
    };
    connection.pragma_update(None, "temp_store_directory", folder)?;
    connection.pragma_update(None, "temp_store", "FILE")
}

fn checkpoint_on_close(connection: &Connection, is_on: bool) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !is_on)
}

/// The schema that the file has, unless it is refused.
fn recognise(
    connection: &Connection,
    path: &Path,
    open_as: OpenAs,
) -> Result<SchemaChange, OpenError> {
    let refuse = |error: rusqlite::Error| fault::of_opening(path, fault::of(error));
    let header = header(connection).map_err(refuse)?;
    header.check(path, open_as, || version(connection))?;
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
    Ok(SchemaChange::of(path, header.schema, version(connection)))
}

impl SchemaChange {
    pub(super) fn of(path: &Path, from: i64, from_version: Option<String>) -> Self {
        let to = known_schema();
        let step = |(schema, migration): (i64, &Migration)| MigrationStep {
            schema,
            last: to,
            name: migration.name,
        };
        let pending = (1..).zip(MIGRATIONS).filter(|(schema, _)| *schema > from);
        Self {
            path: path.to_owned(),
            from,
            to,
            steps: pending.map(step).collect(),
            from_version,
            duration: Duration::ZERO,
            warning: None,
        }
    }

    /// Tells the operator what the first server after an upgrade did.
    pub(super) fn log(&self) {
        let (version, before) = (env!("CARGO_PKG_VERSION"), self.from_version.as_deref());
        if 0 < self.from && self.from < self.to {
            tracing::info!(
                path = %self.path.display(),
                from.schema = self.from,
                to.schema = self.to,
                from.version = before,
                to.version = version,
                duration_ms = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
                "the database was migrated from schema {} to {}: an older hallpass can no longer open it",
                self.from,
                self.to,
            );
        } else if let Some(before) = before.filter(|before| *before != version) {
            tracing::info!(
                path = %self.path.display(),
                from.version = before,
                to.version = version,
                "hallpass {version} opens a database that hallpass {before} had last: its schema is the same"
            );
        }
    }
}

/// Runs the pending migrations in one transaction: a database has the old schema or the new one, and nothing between.
pub(super) fn migrate(
    connection: &mut Connection,
    change: &SchemaChange,
    options: &StoreOptions,
) -> Result<(), Error> {
    let is_current = change.from == change.to;
    if is_current && change.from_version.as_deref() == Some(env!("CARGO_PKG_VERSION")) {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fault::of)?;
    let tx = Tx::sqlite(Session::new(&transaction));
    for step in &change.steps {
        if change.from > 0 {
            (options.on_migration)(step);
        }
        let at = usize::try_from(step.schema - 1).expect("schemas begin at 1");
        let mut statements = Batch::new(&transaction, MIGRATIONS[at].sql);
        while let Some(mut statement) = statements.next().map_err(fault::of)? {
            statement.execute(()).map_err(fault::of)?;
            (options.after_statement)();
        }
        (MIGRATIONS[at].finish)(&tx)?;
    }
    let versioned = meta::set_version(&tx);
    // The server still has to start on a full disk, and the next start stores its version.
    if is_current && versioned.as_ref().is_err_and(Error::is_full_disk) {
        return Ok(());
    }
    versioned?;
    if let Some(event) = options
        .migration_event
        .clone()
        .filter(|_| change.from > 0 && !is_current)
    {
        audit::append(&tx, *event)?;
    }
    (options.after_statement)();
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| transaction.pragma_update(None, "user_version", change.to))
        .map_err(fault::of)?;
    (options.after_statement)();
    drop(tx);
    match transaction.commit().map_err(fault::of) {
        Err(error) if is_current && error.is_full_disk() => Ok(()),
        committed => committed,
    }
}

/// How the last server left the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastUse {
    /// It closed it, or there was none.
    Closed,
    /// It was killed.
    Killed,
    /// It was killed or is still running elsewhere, and the log is missing.
    LogMissing,
}

impl LastUse {
    fn of(connection: &Connection, lacks_log: bool) -> Result<Self, Error> {
        Ok(match (in_use::is_marked(connection)?, lacks_log) {
            (false, _) => Self::Closed,
            (true, false) => Self::Killed,
            (true, true) => Self::LogMissing,
        })
    }
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
        let change = SchemaChange::of(Path::new(""), 4, None);
        let options = StoreOptions::sqlite("".into(), OpenAs::Serve);
        migrate(&mut connection, &change, &options).unwrap();
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
