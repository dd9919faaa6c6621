//! The servers: found or built, started, asked what they cost.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{Result, args::Args};

/// The programs.
pub(crate) struct Binaries {
    /// The hallpass that is measured, and the one beside it.
    pub(crate) hallpass: Vec<PathBuf>,
    log_level: String,
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
        })
    }

    /// `hallpass serve`, with its settings' defaults but for a free port and quotas out of the way. Its log
    /// is written, and thrown away by the system.
    pub(crate) fn serve(&self, which: usize, database: &Path) -> Result<Server> {
        let mut command = Command::new(&self.hallpass[which]);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--max-tokens-per-user", "1000000000"])
            .arg("--log-level")
            .arg(&self.log_level)
            .arg("--database-url")
            .arg(format!("sqlite:{}", database.display()));
        Server::start(command)
    }

    /// This program as one of the servers.
    pub(crate) fn role(role: &str, database: Option<&Path>) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", role]);
        if let Some(database) = database {
            command.arg("--database").arg(database);
        }
        Server::start(command)
    }
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

/// A server that listens. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit_once("http://").map(|(_, a)| a.parse());
        if let Some(Ok(address)) = address {
            return Ok(Self { child, address });
        }
        drop(child.kill());
        drop(child.wait());
        Err(format!("{command:?} did not start").into())
    }

    /// The CPU time of all its threads so far. The system tells it in hundredths of a second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything, the 12th and 13th are utime and stime.
        let (_, fields) = stat.rsplit_once(')').ok_or("stat has no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks
            .map(str::parse::<u64>)
            .sum::<std::result::Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no VmRSS")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
