//! A server of the benchmark's own: this very program, on a database that goes with it.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    cli::failure::Failure,
    config::environment::ADMIN_PASSWORD,
    domain::{
        clock::{Clock, SystemClock},
        id::RequestId,
    },
};

use super::{client::Client, tasks};

/// A server, and the folder that its database is in. Both go when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    password: String,
    folder: Folder,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Server {
    /// Starts it in a new folder within `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self, Failure> {
        let secret = || RequestId::generate(SystemClock.now()).to_string();
        let path = folder.join(format!("hallpass-bench-{}", secret()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        let failed = |what: &str, error: &io::Error| {
            Failure::failed(format!("cannot {what} {}: {error}", path.display()))
        };
        made.map_err(|error| failed("make the folder", &error))?;
        let folder = Folder(path.clone());
        let password = secret();
        let program = std::env::current_exe().map_err(|error| failed("serve in", &error))?;
        let mut child = Command::new(program)
            .args(["serve", "--listen=127.0.0.1:0", "--log-level=warn"])
            .args(["--max-tokens-per-user=1000000000", "--database-url"])
            .arg(format!("sqlite:{}", path.join("bench.db").display()))
            // None of the settings that are in force here.
            .env_clear()
            .env(ADMIN_PASSWORD, &password)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which ends the other.
            .process_group(0)
            .spawn()
            .map_err(|error| failed("serve in", &error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // Where that fails, there is no address in it.
            drop(BufReader::new(stdout).read_line(&mut line));
        }
        let address = line.trim_end().rsplit_once("http://");
        let address = address.and_then(|(_, address)| address.parse().ok());
        let Some(address) = address else {
            drop(child.kill());
            drop(child.wait());
            return Err(Failure::failed("the server did not start: see above"));
        };
        Ok(Self {
            child,
            address,
            password,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// A token of its admin's.
    pub(super) fn sign_in(&self) -> io::Result<Vec<u8>> {
        let mut client = Client::connect(self.address)?;
        let answer = client.ask(&tasks::sign_in("admin", &self.password))?;
        Ok(answer.to_vec())
    }

    /// The CPU time of all its threads so far, where the system tells it as Linux does.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // Behind the name, which may hold anything, the 12th and 13th are utime and stime in hundredths.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Its resident memory, likewise.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes, so it need not end in order.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
