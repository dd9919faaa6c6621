//! `hallpass scan`: finding tokens where they should not be. It needs no server and no database, but to
//! revoke them. No secret is printed, in no form.

mod git;
mod place;
mod report;
mod revoke;
mod stream;
mod walk;

use std::path::PathBuf;

use clap::Args;

use crate::config::target::TargetArgs;

use super::{client::Client, confirmation::Confirmation, exit_code::ExitCode, failure::Failure};
use report::{Report, Summary};

/// `hallpass scan`.
#[derive(Args, Debug)]
pub(super) struct Scan {
    /// The files and folders to search; `-` is stdin.
    #[arg(value_name = "PATH", required_unless_present = "git")]
    paths: Vec<PathBuf>,
    /// Search, instead of files, all that was ever committed to a Git repository and can be reached from a
    /// branch, a tag or another reference. Needs `git`. Not set to one: that of the working directory.
    #[arg(
        long,
        value_name = "REPO",
        num_args = 0..=1,
        default_missing_value = ".",
        conflicts_with_all = ["paths", "no_ignore", "no_hidden"]
    )]
    git: Option<PathBuf>,
    #[command(flatten)]
    walk: walk::Walk,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// Revoke the tokens found that are live on the server or in the database, with their families: tokens that
    /// they were rotated from or to, and all that were made with any of these.
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass scan`.
pub(super) fn run(args: &Scan) -> Result<(), Failure> {
    // 1 is for tokens that were found.
    let summary = search(args).map_err(|failure| failure.or_code(ExitCode::ScanIncomplete))?;
    if summary.found > 0 {
        Err(Failure::silent(ExitCode::Failed))
    } else if summary.unreadable > 0 {
        Err(Failure::silent(ExitCode::ScanIncomplete))
    } else {
        Ok(())
    }
}

fn search(args: &Scan) -> Result<Summary, Failure> {
    // What cannot be done in the end is refused before a long search.
    let client = if args.revoke {
        args.confirmation.check()?;
        let client = Client::new(&args.target)?;
        client.run(async |_| Ok(()))?;
        Some(client)
    } else {
        None
    };
    let unit = if args.git.is_some() {
        "objects"
    } else {
        "files"
    };
    let report = Report::new(args.json, args.revoke, unit);
    match &args.git {
        Some(repository) => git::search(repository, &report)?,
        None => args.walk.search(&args.paths, &report)?,
    }
    let (summary, leaked) = report.finish();
    if let Some(client) = client {
        revoke::revoke(&client, leaked, args.confirmation, args.json)?;
    }
    Ok(summary)
}
