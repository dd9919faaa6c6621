//! The servers: found or built, and started.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio, id},
};

use hallpass::cli::bench::{load::Result, server::Server};

use crate::args::Args;

/// With `--one-core`.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// The programs.
pub(crate) struct Binaries {
    /// The hallpass that is measured, and the one beside it.
    pub(crate) hallpass: Vec<PathBuf>,
    log_level: String,
    one_core: bool,
}

impl Binaries {
    /// Builds hallpass unless one is named.
    pub(crate) fn find(args: &Args) -> Result<Self> {
        let first = match &args.server {
            Some(path) => path.clone(),
            None => build()?,
        };
        let hallpass = [Some(first), args.beside.clone()].into_iter().flatten();
        Ok(Self {
            hallpass: hallpass.collect(),
            log_level: args.log_level.clone(),
            one_core: args.one_core,
        })
    }

    /// `hallpass serve`, with its settings' defaults but for a free port and quotas out of the way. Its log
    /// is written, and thrown away by the system.
    pub(crate) fn serve(&self, which: usize, database: &Path) -> Result<Server> {
        let mut command = self.command(&self.hallpass[which]);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--max-tokens-per-user", "1000000000"])
            .arg("--log-level")
            .arg(&self.log_level)
            .arg("--database-url")
            .arg(format!("sqlite:{}", database.display()));
        Ok(Server::start(command.stderr(Stdio::null()))?)
    }

    /// This program as one of the servers.
    pub(crate) fn role(&self, role: &str, database: Option<&Path>) -> Result<Server> {
        let mut command = self.command(std::env::current_exe()?);
        command.args(["--role", role]);
        if let Some(database) = database {
            command.arg("--database").arg(database);
        }
        Ok(Server::start(command.stderr(Stdio::null()))?)
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        if !self.one_core {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", SERVER_CORE]).arg(program);
        command
    }
}

/// Keeps this thread, which the load runs on, away from the server's core.
pub(crate) fn pin_load() -> Result<()> {
    let status = Command::new("taskset")
        .args(["--pid", "--cpu-list", LOAD_CORE, &id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err("the load needs a core of its own".into());
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["build", "--release", "--locked", "--bin", "hallpass"])
        .status()?;
    if !status.success() {
        return Err("hallpass was not built".into());
    }
    // The folder of benchmarks' programs is deps/, beside the binaries.
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).ok_or("no target folder")?;
    Ok(folder.join("hallpass"))
}
