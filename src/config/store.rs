//! Which database, for the server that owns it and for every command that works on one.

use std::path::{self, PathBuf};

use clap::Args;

use super::values;
use crate::store::{EngineOptions, OpenAs, SqliteOptions, StoreOptions};

/// Where the database is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Database")]
pub struct StoreArgs {
    /// The database: sqlite:PATH, relative to the working directory.
    #[arg(long, env, value_name = "URL", default_value = "sqlite:hallpass.db")]
    #[arg(value_parser = values::database_url)]
    pub database_url: PathBuf,

    /// Accept a database file that other users of this machine can read, such as the group of a Kubernetes volume
    /// (`fsGroup`).
    #[arg(long, env)]
    pub allow_open_permissions: bool,
}

impl StoreArgs {
    /// The store's options.
    pub fn options(&self, open_as: OpenAs) -> StoreOptions {
        let sqlite = SqliteOptions {
            allow_open_permissions: self.allow_open_permissions,
            ..SqliteOptions::new(self.database_url.clone())
        };
        StoreOptions::new(EngineOptions::Sqlite(sqlite), open_as)
    }

    /// Where the first start leaves the password that it generates: beside the database.
    pub fn initial_password_file(&self) -> PathBuf {
        let file = self.database_url.with_file_name("initial-admin-password");
        // Messages name it, and must be right in any working directory.
        path::absolute(&file).unwrap_or(file)
    }
}
