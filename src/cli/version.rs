//! `hallpass version`: this program's, and that of the server that its commands would call.

use clap::Args;
use serde_json::json;

use crate::{config::target::TargetArgs, proto::hallpass::v1::GetServerStatusRequest};

use super::{
    client::Client,
    failure::Failure,
    output::{self, OutputArgs},
};

/// This program's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `hallpass version`.
#[derive(Args, Debug)]
pub(super) struct Version {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass version`. That no server answers is no failure.
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
            "the server's version is not known: {}",
            failure.message().unwrap_or_default()
        )),
    }
    Ok(())
}

/// Anyone may know it, so no token is sent.
fn server(target: &TargetArgs) -> Result<(String, String), Failure> {
    let client = Client::with_any_token(target)?.without_token();
    let status = client.call_running(&GetServerStatusRequest {})?;
    Ok((client.name(), status.version))
}
