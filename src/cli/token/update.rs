//! `hallpass token update`, `disable` and `enable`.

use clap::Args;

use crate::{
    app::{AppOptions, tokens::UpdateToken},
    config::store::StoreArgs,
};

use super::{
    super::{
        answer::{Answer, TokenAnswer},
        failure::Failure,
        local_app::LocalApp,
        output::{self, OutputArgs},
    },
    Named,
};

/// `token update`.
#[derive(Args, Debug)]
#[group(skip)]
pub(in crate::cli) struct Update {
    /// The token's ID; `token inspect` tells it of a plaintext.
    #[arg(value_name = "TOKEN_ID")]
    id: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// What to change: at least one thing.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Changes {
    /// What to remember the token by from now on.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A scope that is left, of those that it has. May be repeated. The others go, and never come back.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A network that is left, within one that it has. May be repeated. The others go, and never come back.
    #[arg(long = "cidr", value_name = "CIDR")]
    cidrs: Vec<String>,
}

/// Runs `hallpass token update`.
pub(super) fn run(args: Update) -> Result<(), Failure> {
    let request = UpdateToken {
        token_id: args.id,
        note: args.changes.note,
        disabled: None,
        scopes: args.changes.scopes,
        allowed_cidrs: args.changes.cidrs,
    };
    change(request, "changed", args.output, &args.store)
}

/// Runs `hallpass token disable` and `enable`.
pub(super) fn disable(args: Named, disabled: bool) -> Result<(), Failure> {
    let request = UpdateToken {
        token_id: args.id,
        disabled: Some(disabled),
        ..UpdateToken::default()
    };
    let done = if disabled { "disabled" } else { "enabled" };
    change(request, done, args.output, &args.store)
}

fn change(
    request: UpdateToken,
    done: &str,
    output: OutputArgs,
    store: &StoreArgs,
) -> Result<(), Failure> {
    let local = LocalApp::open(store, AppOptions::default())?;
    let token = local.run(async |app, caller| app.update_token(caller, request).await)?;
    if output.json {
        output::json(&Answer("token", TokenAnswer::from(&token)))?;
    } else {
        output::line(&format!("{done} {}", token.id))?;
    }
    Ok(())
}
