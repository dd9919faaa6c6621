//! `hallpass scan`: finding tokens where they should not be. It needs no server and no database, but to
//! revoke them. No secret is printed, in no form.

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

/// `hallpass scan`.
#[derive(Args, Debug)]
pub(super) struct Scan {
    /// The files and folders to search; `-` is stdin.
    #[arg(value_name = "PATH", required_unless_present = "git")]
    paths: Vec<PathBuf>,
    /// Search, instead of files, all that a Git repository holds: each blob, and each message of a commit or a
    /// tag, whether or not a branch leads to it. Needs `git`. Not set to one: that of the working directory.
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
    /// Do not tell of the tokens that this file lists, nor revoke them: their IDs, one a line, with comments
    /// behind `#`.
    #[arg(long, value_name = "FILE")]
    ignore_list: Option<PathBuf>,
    /// Print JSON instead of text for people, an object a line as it comes.
    #[arg(long, visible_alias = "jsonl")]
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
    // What cannot be done in the end is refused before a long search.
    let client = if args.revoke {
        args.confirmation.check()?;
        let client = Client::new(&args.target)?;
        client.run(async |_| Ok(()))?;
        Some(client)
    } else {
        None
    };
    let list = args.ignore_list.as_deref();
    // 1 is for tokens that were found, and for a revocation that was refused.
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
    // Whatever ended the search, and before the repository is asked where each came from: what leaked is revoked.
    let revoked = client.map_or(Ok(()), |client| {
        revoke::revoke(&client, &report.leaked(), args.confirmation, args.json)
    });
    let told = history.map_or(Ok(()), |history| history.tell_origins(&report));
    searched.map_err(incomplete)?;
    revoked?;
    told.map_err(incomplete)?;
    Ok(report.finish())
}

/// Reads a list of IDs of tokens, one a line, with comments behind `#`.
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
        // The line may hold a whole token, so that it is not repeated.
        let id = TokenId::parse(id).ok_or_else(|| {
            Failure::usage(format!("{named}, line {}: not the ID of a token", n + 1))
        })?;
        ids.insert(id);
    }
    Ok(ids)
}
