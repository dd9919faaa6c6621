//! The old databases, and what tests compare of them.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use hallpass::store::{OpenAs, StoreOptions};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// The schema of this version.
pub(crate) const CURRENT: i64 = 12;

/// A database of an older schema.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) schema: i64,
    /// What the Hallpass of that schema said of it.
    pub(crate) described: Value,
    sql: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The SQL of the migration to `schema`.
pub(crate) fn migration(schema: i64) -> String {
    let folder = root().join("src/store/migrations");
    let prefix = format!("{schema:04}_");
    let mut files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(&prefix)
    };
    fs::read_to_string(files.find(is_it).unwrap()).unwrap()
}

impl Fixture {
    /// The oldest first. Schemas that main never had by themselves, which only a crash between two migrations left,
    /// are made from the one before.
    pub(crate) fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for schema in 1..CURRENT {
            let path = |ending| {
                let name = format!("tests/it/migrations/fixtures/schema-{schema:02}.{ending}");
                root().join(name)
            };
            let fixture = if let Ok(sql) = fs::read_to_string(path("sql")) {
                let described = fs::read(path("json")).unwrap();
                Self {
                    schema,
                    sql,
                    described: serde_json::from_slice(&described).unwrap(),
                }
            } else {
                let before: &Self = all.last().expect("the first schema has a file");
                let step = migration(schema);
                Self {
                    schema,
                    sql: format!("{}\n{step}\nPRAGMA user_version = {schema};", before.sql),
                    described: before.described.clone(),
                }
            };
            all.push(fixture);
        }
        all
    }

    /// The database `hallpass.db` in a folder of its own.
    pub(crate) fn restore(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        self.restore_to(folder.path());
        folder
    }

    pub(crate) fn restore_to(&self, folder: &Path) {
        let path = folder.join("hallpass.db");
        let sql = Connection::open(&path).unwrap();
        // The tables are in order of their names.
        sql.pragma_update(None, "foreign_keys", false).unwrap();
        sql.execute_batch(&self.sql).unwrap();
        sql.close().unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
}

pub(crate) fn open(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join("hallpass.db")).unwrap()
}

pub(crate) fn options(folder: &Path) -> StoreOptions {
    StoreOptions::sqlite(folder.join("hallpass.db"), OpenAs::Serve)
}

/// Migrates the database in this process.
pub(crate) fn migrated(folder: &TempDir) {
    hallpass::store::migrate(&options(folder.path())).unwrap();
}

/// The real binary on the database in the folder.
pub(crate) fn command(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.args(args).current_dir(folder.path()).env_clear();
    command
}

/// `hallpass migrate`: its exit code and what it printed.
pub(crate) fn migrate(folder: &TempDir, args: &[&str]) -> (i32, String) {
    run(folder, &[&["migrate"], args].concat())
}

/// The exit code, and what it printed: on stdout, or on stderr if it failed.
pub(crate) fn run(folder: &TempDir, args: &[&str]) -> (i32, String) {
    let output = command(folder, args).output().unwrap();
    let printed = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    let code = output.status.code().unwrap();
    (code, String::from_utf8(printed).unwrap())
}

/// All objects of the schema with their SQL.
pub(crate) fn schema(sql: &Connection) -> Vec<String> {
    let all = "SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || ifnull(sql, '') FROM sqlite_schema ORDER BY 1";
    let mut statement = sql.prepare(all).unwrap();
    let rows = statement.query_map((), |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The rows of each table, each as a line that begins with its column names.
pub(crate) type Contents = BTreeMap<String, Vec<String>>;

/// The contents of the database; with `only`, of its tables and columns, without the rows that migrations add.
pub(crate) fn contents(sql: &Connection, only: Option<&Contents>) -> Contents {
    let names = |query: &str| -> Vec<String> {
        let mut statement = sql.prepare(query).unwrap();
        let rows = statement.query_map((), |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let tables = match only {
        Some(only) => only.keys().cloned().collect(),
        None => names("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1"),
    };
    let rows_of = |table: &String| {
        let columns = match only.and_then(|only| only[table].first()) {
            Some(columns) => columns.split(',').map(str::to_owned).collect(),
            None => names(&format!("SELECT name FROM pragma_table_info('{table}')")),
        };
        let values: Vec<_> = columns
            .iter()
            .map(|name| format!("quote({name})"))
            .collect();
        let limit = match (table.as_str(), only) {
            ("audit", Some(only)) => format!("WHERE sequence < {}", only[table].len()),
            ("meta", Some(_)) => "WHERE key <> 'version'".to_owned(),
            _ => String::new(),
        };
        let values = values.join(" || ',' || ");
        let mut rows = vec![columns.join(",")];
        rows.extend(names(&format!(
            "SELECT {values} FROM {table} {limit} ORDER BY 1"
        )));
        rows
    };
    let contents = tables.iter().map(|table| (table.clone(), rows_of(table)));
    contents.collect()
}
