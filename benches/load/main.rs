//! A load on the real server: what a request costs, beside a bare handler on the same machine in the same
//! minutes. Rates are compared within a run, never between runs: every round measures all scenarios, and each ratio
//! is printed with its spread over the rounds.
//!
//! The servers are processes of their own, so that CPU time and memory can be read from `/proc`:
//! `hallpass serve`, and this very program for what it is compared with ([`baseline`], [`pool`]).

mod args;
mod baseline;
mod calls;
mod goals;
mod pool;
mod process;
mod report;
mod scenarios;
mod seed;
mod start;
mod sustained;

use args::{Args, Role};
use clap::Parser;
use hallpass::cli::bench::load::Result;

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
    if args.one_core {
        process::pin_load()?;
    }
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
        all.measure(args).await?;
        report::table(&all);
        goals::report(&all, &args.tokens);
        Ok(())
    })
}
