//! `hallpass data`: operations on the whole database.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    config::target::TargetArgs,
    proto::hallpass::v1::{CheckDataRequest, CheckDataResponse},
};

use super::{
    client::Client,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, OutputArgs},
    plural,
};

#[derive(Subcommand, Debug)]
pub(super) enum DataCommand {
    /// Check the integrity of the whole database, and print what is wrong with it.
    Check(Check),
}

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(command: DataCommand) -> Result<(), Failure> {
    let DataCommand::Check(args) = command;
    let client = Client::new(&args.target)?;
    let findings = client.run(async |session| {
        let mut findings = Vec::new();
        let take = |reply: CheckDataResponse| {
            findings.push(reply.finding);
            Ok(())
        };
        session.stream(&CheckDataRequest {}, take).await?;
        Ok(findings)
    })?;
    if args.output.json {
        output::json(&json!({ "findings": findings }))?;
    } else if findings.is_empty() {
        output::line("nothing is wrong with the database")?;
    } else {
        findings
            .iter()
            .try_for_each(|finding| output::line(finding))?;
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::DataDamaged,
        format!(
            "{} wrong with the database: keep a copy, then restore a backup",
            plural::of(findings.len(), "thing is", "things are")
        ),
    ))
}
