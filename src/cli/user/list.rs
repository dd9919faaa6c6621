//! `hallpass user list`.

use clap::Args;

use crate::{
    app::{AppOptions, users::ListUsers},
    config::store::StoreArgs,
};

use super::super::{
    answer::{Answer, UserAnswer},
    failure::Failure,
    local_app::{LocalApp, all_pages},
    output::{self, OutputArgs},
    user_view,
};

/// `user list`.
#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// Only active users.
    #[arg(long, conflicts_with = "deactivated")]
    active: bool,
    /// Only deactivated users.
    #[arg(long)]
    deactivated: bool,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs `hallpass user list`.
pub(super) fn run(args: &List) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let deactivated = match (args.active, args.deactivated) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        _ => None,
    };
    let users = local.run(async |app, caller| {
        all_pages(args.reverse, usize::MAX, async |page| {
            let request = ListUsers {
                page,
                deactivated: Ok(deactivated),
                kind: Ok(None),
            };
            app.list_users(caller, request).await
        })
        .await
    })?;
    if args.output.json {
        let users: Vec<_> = users.iter().map(UserAnswer::from).collect();
        output::json(&Answer("users", users))?;
    } else {
        user_view::table(&users)?;
    }
    Ok(())
}
