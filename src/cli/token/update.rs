//! `hallpass token update`, `disable` and `enable`.

use clap::Args;

use crate::{
    config::target::TargetArgs, domain::id::TokenId, proto::hallpass::v1::UpdateTokenRequest,
};

use super::{
    super::{
        client::Client,
        failure::Failure,
        output::{self, OutputArgs},
    },
    TokenArgs, token_id,
};

/// `token update`.
#[derive(Args, Debug)]
#[group(skip)]
pub(in crate::cli) struct Update {
    /// The token's ID.
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    id: TokenId,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// What to change: at least one thing.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Changes {
    /// What to remember the token by from now on.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A scope that is left, of those that it has. May be repeated, or several with commas. The others go, and
    /// never come back.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// A network that is left, within one that it has. May be repeated, or several with commas. The others go, and
    /// never come back.
    #[arg(long = "cidr", value_name = "CIDR", value_delimiter = ',')]
    cidrs: Vec<String>,
}

/// Runs `hallpass token update`.
pub(super) fn run(args: Update) -> Result<(), Failure> {
    let request = UpdateTokenRequest {
        token_id: args.id.to_string(),
        note: args.changes.note,
        disabled: None,
        scopes: args.changes.scopes,
        allowed_cidrs: args.changes.cidrs,
    };
    change(args.id, &request, "changed", args.output, &args.target)
}

/// Runs `hallpass token disable` and `enable`.
pub(super) fn disable(args: TokenArgs, disabled: bool) -> Result<(), Failure> {
    let request = UpdateTokenRequest {
        token_id: args.id.to_string(),
        disabled: Some(disabled),
        ..UpdateTokenRequest::default()
    };
    let done = if disabled { "disabled" } else { "enabled" };
    change(args.id, &request, done, args.output, &args.target)
}

fn change(
    id: TokenId,
    request: &UpdateTokenRequest,
    done: &str,
    output: OutputArgs,
    target: &TargetArgs,
) -> Result<(), Failure> {
    let reply = Client::new(target)?.call(request);
    let reply = reply.map_err(|failure| failure.naming(id))?;
    if output.json {
        output::reply(&reply)?;
    } else {
        output::line(&format!("{done} {id}"))?;
    }
    Ok(())
}
