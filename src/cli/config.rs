//! `hallpass config`: the settings with which `serve` would run.

use clap::{ArgMatches, Args, Command, Subcommand};
use serde_json::json;

use crate::config::{
    Settings,
    client_tls::ClientTlsArgs,
    effective::{self, Source},
    example,
    file::SettingsFile,
    with_variables,
};

use super::{
    client::tls,
    failure::Failure,
    output::{self, OutputArgs},
    serve::Plan,
    table::{self, whole},
};

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check the settings as `serve` does, and print each with its source: default, file, env or flag; and those
    /// with which commands speak TLS. The database and the addresses are not opened.
    Check(Box<Check>),
    /// Print a settings file, for --config, with each setting, its description and its default.
    Example,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    client: ClientTlsArgs,
}

/// Runs `hallpass config …` with the arguments `matches`, whose defaults `file` gives.
pub(super) fn run(
    command: &ConfigCommand,
    matches: &ArgMatches,
    file: &SettingsFile,
) -> Result<(), Failure> {
    let ConfigCommand::Check(check) = command else {
        return Ok(output::exact(example::example().trim_end())?);
    };
    // Checks the settings in combination, as `serve` does; each by itself was checked when it was parsed.
    let plan = Plan::of(&check.settings)?;
    plan.check_first_start()?;
    let client = check.client.files(None)?;
    if !client.is_default() {
        tls::config(&client)?;
    }
    let matches = matches.subcommand_matches("check").unwrap_or(matches);
    let command = with_variables(ClientTlsArgs::augment_args(Settings::augment_args(
        Command::new("settings"),
    )));
    let mut settings = effective::settings(&command, matches, file);
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
