//! `hallpass machine`: users that have no password, only tokens, and a person who owns them.

use std::collections::HashMap;

use clap::{Arg, Args, Subcommand};

use crate::{
    config::target::TargetArgs,
    proto::hallpass::v1::{
        CreateUserRequest, ListUsersResponse, LookUpUserResponse, SetOwnerRequest, User, UserState,
        UserType,
    },
};

use super::{
    client::{Client, Session},
    failure::Failure,
    output::{self, ListOutputArgs, OutputArgs, or_dash},
    user::{self, Accept, ConfirmedUserArgs, Describe, NewUserArgs, UserArgs},
    user_view,
};

#[derive(Subcommand, Debug)]
pub(super) enum MachineCommand {
    /// Create a machine.
    #[command(mut_arg("role", machine_role))]
    Create(Create),
    /// List machines and who owns them.
    List(List),
    /// Show a machine.
    #[command(alias = "show", mut_arg("user", machine))]
    Get(UserArgs),
    /// Hand a machine to another person. Its tokens stay as they are.
    SetOwner(SetOwner),
    /// Set a machine's description.
    #[command(mut_arg("user", machine))]
    Describe(Describe),
    /// Make all of a machine's tokens invalid until the machine is reactivated.
    #[command(alias = "disable", mut_arg("user", machine))]
    Deactivate(ConfirmedUserArgs),
    /// Reactivate a deactivated machine. Its tokens are valid again.
    #[command(alias = "enable", mut_arg("user", machine))]
    Reactivate(UserArgs),
    /// Delete a machine and all its tokens. Nobody can ever have the name again.
    #[command(alias = "remove", mut_arg("user", machine))]
    Delete(ConfirmedUserArgs),
}

fn machine(arg: Arg) -> Arg {
    arg.value_name("MACHINE").help("The machine's name or ID")
}

fn machine_role(arg: Arg) -> Arg {
    arg.help(
        "What the machine may do. The admin role counts only while its owner is an active admin",
    )
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// The person who owns it: a name or an ID.
    #[arg(long, value_name = "USER")]
    owner: String,
    #[command(flatten)]
    user: NewUserArgs,
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Only machines of this person: a name or an ID.
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    output: ListOutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Args, Debug)]
pub(super) struct SetOwner {
    /// The machine's name or ID.
    machine: String,
    /// The person who owns it from now on: a name or an ID.
    owner: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(command: MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::Create(args) => create(&args),
        MachineCommand::List(args) => list_machines(&args),
        MachineCommand::Get(args) => user::get(&args, Accept::Machine),
        MachineCommand::SetOwner(args) => set_owner(&args),
        MachineCommand::Describe(args) => user::describe(args, Accept::Machine),
        MachineCommand::Deactivate(args) => user::deactivate(&args, Accept::Machine),
        MachineCommand::Reactivate(args) => user::reactivate(&args, Accept::Machine),
        MachineCommand::Delete(args) => user::delete(&args, Accept::Machine),
    }
}

fn create(args: &Create) -> Result<(), Failure> {
    let client = Client::new(&args.user.target)?;
    let created = client.run(async |session| {
        let owner = session.look_up_user(&args.owner).await?;
        let request = CreateUserRequest {
            owner_id: owner.id,
            ..args.user.request(UserType::Machine)
        };
        session.call(&request).await
    })?;
    args.user.show(created)
}

fn list_machines(args: &List) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let look_up = |owner| client.run(async |session| session.look_up_user(owner).await);
    let owner = args.owner.as_deref().map(look_up).transpose()?;
    let is_wanted = |user: &User| {
        let is_owned_by = |owner: &LookUpUserResponse| user.owner_id == owner.id;
        user_view::is_machine(user) && owner.as_ref().is_none_or(is_owned_by)
    };
    let get = async |session: &mut Session, page| {
        let page = session
            .list_users(page, args.reverse, UserState::Unspecified)
            .await;
        let (mut users, next_token) = page?;
        // The table needs the people, too, for the owners' names. Looking up each owner would leave a record for each.
        if args.output.jsonl {
            users.retain(is_wanted);
        }
        Ok((users, next_token))
    };
    let Some(mut users) = client.list(args.output, None, get)? else {
        return Ok(());
    };
    let names = users.iter();
    let names = names.map(|user| (user.id.clone(), user.username.clone()));
    let names: HashMap<_, _> = names.collect();
    users.retain(is_wanted);
    let owner_name =
        |machine: &User| or_dash(names.get(&machine.owner_id).cloned().unwrap_or_default());
    let reply = ListUsersResponse {
        users,
        ..ListUsersResponse::default()
    };
    Ok(args.output.print(reply, |reply| {
        user_view::list(&reply.users, "OWNER", owner_name)
    })?)
}

fn set_owner(args: &SetOwner) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let machine = client.run(async |session| {
        let user_id = session.look_up_user(&args.machine).await?.id;
        let owner_id = session.look_up_user(&args.owner).await?.id;
        let request = SetOwnerRequest { user_id, owner_id };
        let machine = session.call(&request).await?.user;
        machine.ok_or_else(|| session.incomplete("user"))
    })?;
    user_view::show(args.output, machine, &format!("handed to {}:", args.owner))?;
    output::hint("Its tokens stay as they are: rotate or revoke those that others may know.");
    Ok(())
}
