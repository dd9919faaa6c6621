//! A server in a process of its own, so that the system tells what it costs.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A server that listens. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `command`, whose first line of output ends with the address that it listens on.
    ///
    /// # Errors
    /// It cannot be started, or ends without such a line.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // Where that fails, the line has no address.
            drop(BufReader::new(stdout).read_line(&mut line));
        }
        let address = line.trim_end().rsplit_once("http://");
        if let Some(address) = address.and_then(|(_, address)| address.parse().ok()) {
            return Ok(Self { child, address });
        }
        drop(child.kill());
        drop(child.wait());
        Err(io::Error::other("the server did not start"))
    }

    /// The CPU time of all its threads so far, where the system tells it.
    pub fn cpu(&self) -> Option<Duration> {
        cpu_time(self.child.id())
    }

    /// Its resident memory, where the system tells it.
    pub fn resident_bytes(&self) -> Option<u64> {
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
        // Its data is deleted, so it need not stop in order.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The CPU time of a process, where the system tells it as Linux does.
pub fn cpu_time(process_id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    // After the name, which may hold anything, the 12th and 13th are utime and stime in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
