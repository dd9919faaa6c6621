//! `hallpass data`: looking after the database as a whole.

use clap::{Args, Subcommand};

use crate::{app::AppOptions, config::store::StoreArgs};

use super::{
    answer::Answer,
    exit_code::ExitCode,
    failure::Failure,
    local_app::LocalApp,
    output::{self, OutputArgs},
};

/// `hallpass data …`.
#[derive(Subcommand, Debug)]
pub(super) enum DataCommand {
    /// Read the whole database and say what is wrong with it.
    Check(Check),
}

/// `data check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs `hallpass data …`.
pub(super) fn run(command: DataCommand) -> Result<(), Failure> {
    let DataCommand::Check(args) = command;
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let findings = local.run(async |app, _| app.check_data().await)?;
    if args.output.json {
        output::json(&Answer("findings", &findings))?;
    } else if findings.is_empty() {
        output::line("nothing is wrong with the database")?;
    } else {
        output::line(&findings.join("\n"))?;
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::DataDamaged,
        format!(
            "{} things are wrong with the database: keep a copy, then restore a backup",
            findings.len()
        ),
    ))
}
