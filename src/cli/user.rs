//! `hallpass user`: people, and what is done to any user.

mod create;
mod list;
mod set_password;

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    app::AppOptions,
    config::{app::PasswordArgs, store::StoreArgs},
    domain::user::Role,
};

use super::{
    answer::Answer,
    confirmation::Confirmation,
    failure::Failure,
    local_app::{LocalApp, find_user},
    output::{self, OutputArgs},
    user_view,
};

/// `hallpass user …`.
#[derive(Subcommand, Debug)]
pub(super) enum UserCommand {
    /// Create a person, who signs in with a password.
    Create(create::Create),
    /// List users: people and machines.
    List(list::List),
    /// Show a user.
    Get(Named),
    /// Set a person's password.
    SetPassword(set_password::SetPasswordArgs),
    /// Make a user an admin or a member.
    SetRole(SetRole),
    /// Make all of a user's tokens invalid, until it is reactivated.
    Deactivate(Ending),
    /// Undo a deactivation: the user's tokens are valid again.
    Reactivate(Named),
    /// Delete a user with all its tokens. Its name is never given again.
    Delete(Ending),
}

/// What a user may do on the server.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleArg {
    /// May act on all users and tokens.
    Admin,
    /// May act on itself and its own machines.
    Member,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Member => Self::Member,
        }
    }
}

/// Commands that need no more than a user.
#[derive(Args, Debug)]
pub(super) struct Named {
    /// The user's name or ID.
    user: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Commands that end something: they ask first.
#[derive(Args, Debug)]
pub(super) struct Ending {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    named: Named,
}

/// `user set-role`.
#[derive(Args, Debug)]
pub(super) struct SetRole {
    #[command(flatten)]
    named: Named,
    /// What the user may do from now on.
    #[arg(value_enum)]
    role: RoleArg,
}

/// Runs `hallpass user …`.
pub(super) fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Create(args) => create::run(args),
        UserCommand::List(args) => list::run(&args),
        UserCommand::Get(args) => get(&args),
        UserCommand::SetPassword(args) => set_password::run(&args),
        UserCommand::SetRole(args) => set_role(&args),
        UserCommand::Deactivate(args) => deactivate(&args),
        UserCommand::Reactivate(args) => reactivate(&args),
        UserCommand::Delete(args) => delete(&args),
    }
}

/// What the use cases are told where a password is hashed.
fn hashing_as(args: &PasswordArgs) -> AppOptions {
    AppOptions {
        passwords: args.options(),
        ..AppOptions::default()
    }
}

fn get(args: &Named) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let user = local.run(async |app, caller| find_user(app, caller, &args.user).await)?;
    user_view::show_details(args.output, &user)
}

fn set_role(args: &SetRole) -> Result<(), Failure> {
    let local = LocalApp::open(&args.named.store, AppOptions::default())?;
    let user = local.run(async |app, caller| {
        let id = find_user(app, caller, &args.named.user)
            .await?
            .id
            .to_string();
        app.set_role(caller, &id, Ok(args.role.into())).await?;
        app.get_user(caller, &id).await
    })?;
    user_view::show(args.named.output, &user, "changed")
}

fn deactivate(args: &Ending) -> Result<(), Failure> {
    let local = LocalApp::open(&args.named.store, AppOptions::default())?;
    let user = local.run(async |app, caller| find_user(app, caller, &args.named.user).await)?;
    let question = format!("Deactivate {} and all its tokens?", user.username);
    args.confirmation.ask(&question)?;
    let user = local.run(async |app, caller| {
        let id = user.id.to_string();
        app.deactivate_user(caller, &id).await?;
        app.get_user(caller, &id).await
    })?;
    user_view::show(args.named.output, &user, "deactivated")
}

fn reactivate(args: &Named) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let user = local.run(async |app, caller| {
        let id = find_user(app, caller, &args.user).await?.id.to_string();
        app.reactivate_user(caller, &id).await?;
        app.get_user(caller, &id).await
    })?;
    user_view::show(args.output, &user, "reactivated")
}

fn delete(args: &Ending) -> Result<(), Failure> {
    let local = LocalApp::open(&args.named.store, AppOptions::default())?;
    let user = local.run(async |app, caller| find_user(app, caller, &args.named.user).await)?;
    let question = format!("Delete {} and all its tokens for ever?", user.username);
    args.confirmation.ask(&question)?;
    let id = user.id.to_string();
    let deleted = local.run(async |app, caller| app.delete_user(caller, &id).await)?;
    if args.named.output.json {
        output::json(&Answer("deletedTokens", deleted))?;
    } else {
        let name = user.username;
        output::line(&format!(
            "deleted {name}; tokens deleted with it: {deleted}"
        ))?;
    }
    Ok(())
}
