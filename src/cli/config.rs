//! `hallpass config`: the settings that `serve` would run with.

use clap::{ArgMatches, Args, Command, Subcommand};
use serde_json::json;

use crate::config::{
    Settings,
    effective::{self, Source},
};

use super::{
    failure::Failure,
    output::{self, OutputArgs},
    serve::Plan,
    table::{self, whole},
};

/// `hallpass config …`.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check the settings, and print each with where it comes from: default, env or flag. What `serve` would
    /// refuse is refused, but for what it finds in the database and addresses that are taken.
    Check(Box<Check>),
}

/// `config check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    settings: Settings,
}

/// Runs `hallpass config …`, whose arguments `matches` are.
pub(super) fn run(command: &ConfigCommand, matches: &ArgMatches) -> Result<(), Failure> {
    let ConfigCommand::Check(check) = command;
    // Whether they go together, as `serve` has it; each by itself was checked when it was read.
    let plan = Plan::of(&check.settings)?;
    plan.check_first_start()?;
    let matches = matches.subcommand_matches("check").unwrap_or(matches);
    let mut settings =
        effective::settings(&Settings::augment_args(Command::new("settings")), matches);
    settings.push(effective::admin_password(&plan.password));
    if check.output.json {
        output::json(&json!({ "settings": settings }))?;
        return Ok(());
    }
    let rows = settings.into_iter().map(|setting| {
        let value = setting.value.unwrap_or_else(|| "-".to_owned());
        [
            setting.name,
            value,
            Source::as_str(setting.source).to_owned(),
        ]
    });
    let columns = [whole("SETTING"), whole("VALUE"), whole("SOURCE")];
    table::print(columns, rows.collect())?;
    Ok(())
}
