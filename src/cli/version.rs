//! `hallpass version`: the versions of this program and of the server that commands would call.

use clap::Args;
use serde_json::json;

use crate::{config::target::TargetArgs, proto::hallpass::v1::GetServerStatusRequest};

use super::{
    client::Client,
    failure::Failure,
    output::{self, OutputArgs},
};

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Args, Debug)]
pub(super) struct Version {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass version`, which does not fail if no server responds.
pub(super) fn run(args: &Version) -> Result<(), Failure> {
    let server = server(&args.target);
    if args.output.json {
        let server = server.ok();
        let server =
            server.map(|(target, version)| json!({ "target": target, "version": version }));
        return Ok(output::json(
            &json!({ "version": VERSION, "server": server }),
        )?);
    }
    output::line(&format!("hallpass {VERSION}"))?;
    match server {
        Ok((target, version)) => output::line(&format!("server   {version} at {target}"))?,
        Err(failure) => output::hint(&format!(
            "the server's version is unknown: {}",
            failure.message().unwrap_or_default()
        )),
    }
    Ok(())
}

/// Sends no token, since the version is public.
fn server(target: &TargetArgs) -> Result<(String, String), Failure> {
    let client = Client::with_any_token(target)?.without_token();
    let status = client.call_running(&GetServerStatusRequest {})?;
    Ok((client.name(), status.version))
}
