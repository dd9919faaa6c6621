//! A load on the real server: what a request costs, beside a bare handler on the same machine in the same
//! minutes. Rates of one run are compared with each other, never with those of another run: the scenarios
//! take turns, round by round, and each ratio is told with its spread over the rounds.
//!
//! The servers are processes of their own, so that CPU time and memory can be read from `/proc`:
//! `hallpass serve`, and this very program for what it is compared with ([`baseline`], [`pool`]).

mod args;
mod baseline;
mod client;
mod goals;
mod measure;
mod pool;
mod process;
mod report;
mod scenarios;
mod seed;
mod start;
mod sustained;
mod verifying;

use std::error::Error;

use args::{Args, Role};
use clap::Parser;

/// Whatever goes wrong ends the run.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args = Args::parse();
    match args.role {
        Some(Role::Bare) => baseline::serve_bare(),
        Some(Role::Noop) => baseline::serve_noop(),
        Some(Role::Pool) => pool::serve(args.database.ok_or("--role pool needs --database")?),
        None => measure(&args),
    }
}

fn measure(args: &Args) -> Result<()> {
    let servers = process::Binaries::find(args)?;
    // One thread: what the load costs must not take both cores from the servers.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        report::machine()?;
        if let Some(duration) = args.sustain {
            return sustained::run(args, &servers, duration).await;
        }
        start::report(args, &servers).await?;
        let mut all = scenarios::prepare(args, &servers).await?;
        measure::rounds(args, &mut all).await?;
        report::table(&all);
        goals::report(&all, &args.tokens);
        Ok(())
    })
}
