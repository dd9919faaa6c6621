//! `hallpass bench`: how fast this machine is, with one command. It starts a server of its own on a new
//! database and a free port, asks it what services ask all day over real sockets, and leaves nothing behind.

mod client;
mod disk;
mod interrupt;
mod load;
mod report;
mod server;
mod tasks;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{failure::Failure, output, plural};
use crate::{config::number::number, domain::duration};
use interrupt::Interrupt;
use report::Row;
use server::Server;
use tasks::Task;

/// `hallpass bench`.
#[derive(Args, Debug)]
pub(super) struct Bench {
    /// How long each measurement takes.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    duration: Duration,
    /// How many clients ask at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = number(1..=512_u16))]
    clients: u16,
    /// How many tokens are checked in turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = number(1..=100_000_u32))]
    tokens: u32,
    /// Where the new database is made, and removed: on the disk to be measured.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// Runs `hallpass bench`.
pub(super) fn run(args: &Bench) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let server = Server::start(&args.folder)?;
    let sync = disk::sync_time(server.folder()).map_err(|error| disk_failure(&error))?;
    let clients = usize::from(args.clients);
    tell(&format!("making {}", plural::count(args.tokens, "token")));
    let tokens = load::make_tokens(&server, args.tokens, &interrupt)?;
    let mut rows = Vec::new();
    for task in Task::ALL {
        for clients in task.clients(clients) {
            tell(&format!("{} by {clients}", task.name()));
            let turn = load::turn(&server, task, clients, &tokens, args.duration, &interrupt)?;
            rows.push(Row::new(task.name(), clients, &turn));
        }
    }
    report::print(&rows, sync, server.resident_bytes(), args.json)?;
    Ok(())
}

fn disk_failure(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot measure the disk: {error}"))
}

/// What is being done, for who watches.
fn tell(what: &str) {
    if io::stderr().is_terminal() {
        output::hint(&format!("{what} …"));
    }
}
