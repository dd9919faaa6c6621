//! `hallpass config`: the settings that `serve` would run with.

use clap::{ArgMatches, Args, Command, Subcommand};
use serde_json::json;

use crate::config::{
    Settings,
    effective::{self, Source},
    environment::AdminPassword,
};

use super::{
    failure::Failure,
    output::{self, OutputArgs},
};

/// `hallpass config …`.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check the settings, and print each with where it comes from: default, env or flag.
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
    // Whether they go together; each by itself was checked when it was read.
    check.settings.app_options()?;
    let matches = matches.subcommand_matches("check").unwrap_or(matches);
    let mut settings =
        effective::settings(&Settings::augment_args(Command::new("settings")), matches);
    settings.push(effective::admin_password(&AdminPassword::read()?));
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
    output::table(["SETTING", "VALUE", "SOURCE"], rows.collect())?;
    Ok(())
}
