//! `hallpass scan`: finds leaked tokens. It only needs a server or database to revoke them, and never prints a secret.

mod content;
mod finding;
mod git;
mod report;
mod revoke;
mod walk;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{config::target::TargetArgs, domain::id::TokenId};

use super::{client::Client, confirmation::Confirmation, exit_code::ExitCode, failure::Failure};
use report::{Report, Summary};

#[derive(Args, Debug)]
pub(super) struct Scan {
    /// The files and folders to search; `-` is stdin.
    #[arg(value_name = "PATH", required_unless_present = "git")]
    paths: Vec<PathBuf>,
    /// Search a Git repository instead of files: every blob and every message of a commit or tag, reachable or not.
    /// Needs `git`. Default repository: that of the working directory.
    #[arg(
        long,
        value_name = "REPO",
        num_args = 0..=1,
        default_missing_value = ".",
        conflicts_with_all = ["paths", "use_ignore_files", "no_ignore", "no_hidden", "exclude"]
    )]
    git: Option<PathBuf>,
    #[command(flatten)]
    walk: walk::Walk,
    /// A list of tokens to neither report nor revoke: a file with their IDs, one per line, and comments after `#`.
    #[arg(long, value_name = "FILE")]
    ignore_list: Option<PathBuf>,
    /// Print JSON instead of text for people, one object per line as it is found.
    #[arg(long, visible_alias = "jsonl")]
    json: bool,
    /// Revoke the tokens found that are live on the server or in the database, with their families: tokens that they
    /// were rotated from or to, and all tokens created with any of these.
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &Scan) -> Result<(), Failure> {
    let summary = search(args)?;
    if summary.found > 0 {
        Err(Failure::silent(ExitCode::Failed))
    } else if summary.unreadable > 0 {
        Err(Failure::silent(ExitCode::ScanIncomplete))
    } else {
        Ok(())
    }
}

fn search(args: &Scan) -> Result<Summary, Failure> {
    // Refuses before a long search what would fail after it.
    let client = if args.revoke {
        args.confirmation.check()?;
        let client = Client::new(&args.target)?;
        client.run(async |_| Ok(()))?;
        Some(client)
    } else {
        None
    };
    let list = args.ignore_list.as_deref();
    // Exit code 1 means that tokens were found or a revocation was refused.
    let incomplete = |failure: Failure| failure.or_code(ExitCode::ScanIncomplete);
    let ignored = list.map(read_ignore_list).transpose();
    let ignored = ignored.map_err(incomplete)?.unwrap_or_default();
    let unit = if args.git.is_some() {
        "objects"
    } else {
        "files"
    };
    let report = Report::new(args.json, args.revoke, ignored, unit);
    let mut history = None;
    let searched = match &args.git {
        Some(path) => git::search(path, &report).map(|found| history = Some(found)),
        None => args.walk.search(&args.paths, &report),
    };
    // Revokes what leaked even if the search failed, and before the slow search for the commits.
    let revoked = client.map_or(Ok(()), |client| {
        revoke::revoke(&client, &report.leaked(), args.confirmation, args.json)
    });
    let reported = history.map_or(Ok(()), |pending| pending.report(&report));
    searched.map_err(incomplete)?;
    revoked?;
    reported.map_err(incomplete)?;
    Ok(report.finish())
}

/// Reads the IDs of known tokens. All others are reported, even those that look like examples: a thief would try them.
fn read_ignore_list(path: &Path) -> Result<HashSet<TokenId>, Failure> {
    let named = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the list {named}: {error}")))?;
    let mut ids = HashSet::new();
    for (n, line) in text.lines().enumerate() {
        let id = line.split('#').next().unwrap_or_default().trim();
        if id.is_empty() {
            continue;
        }
        // Does not repeat the line, since it may hold a whole token.
        let id = TokenId::parse(id)
            .ok_or_else(|| Failure::usage(format!("{named}, line {}: not a token's ID", n + 1)))?;
        ids.insert(id);
    }
    Ok(ids)
}
