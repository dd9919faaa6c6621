//! `hallpass user`: people, and what is done to any user.

mod create;
pub(super) mod list;
mod set_password;

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{
        DeactivateUserRequest, DeleteUserRequest, ReactivateUserRequest, ServerRole,
        UpdateUserServerRoleRequest,
    },
};

use super::{
    client::Client,
    confirmation::{self, Confirmation},
    failure::Failure,
    output::{self, OutputArgs},
    stakes, user_view,
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

impl From<RoleArg> for ServerRole {
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
    target: TargetArgs,
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

fn get(args: &Named) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let (user, owner) = client.run(async |session| {
        let user = session.find_user(&args.user).await?;
        // Its name is of use to people alone. Whoever may not know it sees the ID.
        let owner = if user.owner_id.is_empty() || args.output.json {
            None
        } else {
            session.look_up_user(&user.owner_id).await.ok()
        };
        Ok((user, owner))
    })?;
    let owner = owner.map(|owner| owner.username);
    user_view::show_details(args.output, user, owner)
}

fn set_role(args: &SetRole) -> Result<(), Failure> {
    let client = Client::new(&args.named.target)?;
    let user = client.run(async |session| {
        let request = UpdateUserServerRoleRequest {
            user_id: session.look_up_user(&args.named.user).await?.id,
            server_role: ServerRole::from(args.role).into(),
        };
        let user = session.call(&request).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    })?;
    user_view::show(args.named.output, user, "changed")
}

fn deactivate(args: &Ending) -> Result<(), Failure> {
    args.confirmation.check()?;
    let client = Client::new(&args.named.target)?;
    let found = client.run(async |session| session.look_up_user(&args.named.user).await)?;
    let (stakes, name) = (stakes::of_user(&found, SystemClock.now()), &found.username);
    let question = format!("{stakes}. Deactivate {name} and all its tokens?");
    args.confirmation.ask(&client, &question)?;
    let user = client.run(async |session| {
        let request = DeactivateUserRequest { id: found.id };
        let user = session.call(&request).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    });
    let user = user.map_err(confirmation::gone_meanwhile)?;
    user_view::show(args.named.output, user, "deactivated")
}

fn reactivate(args: &Named) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let user = client.run(async |session| {
        let id = session.look_up_user(&args.user).await?.id;
        let user = session.call(&ReactivateUserRequest { id }).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    })?;
    user_view::show(args.output, user, "reactivated")
}

fn delete(args: &Ending) -> Result<(), Failure> {
    args.confirmation.check()?;
    let client = Client::new(&args.named.target)?;
    let found = client.run(async |session| session.look_up_user(&args.named.user).await)?;
    let (stakes, name) = (stakes::of_user(&found, SystemClock.now()), &found.username);
    let question = format!("{stakes}. Delete {name} and all its tokens for ever?");
    args.confirmation.ask(&client, &question)?;
    let done = client.call(&DeleteUserRequest { id: found.id });
    let done = done.map_err(confirmation::gone_meanwhile)?;
    if args.named.output.json {
        output::reply(&done)?;
    } else {
        let (name, count) = (found.username, done.deleted_tokens);
        output::line(&format!("deleted {name}; tokens deleted with it: {count}"))?;
    }
    Ok(())
}
