//! `hallpass completions`: a script that lets a shell complete our commands.

use clap::Args;
use clap_complete::Shell;

use super::{failure::Failure, output};

/// `hallpass completions`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs `hallpass completions`.
pub(super) fn run(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "hallpass", &mut script);
    Ok(output::exact(String::from_utf8_lossy(&script).trim_end())?)
}
