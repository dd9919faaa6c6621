//! `hallpass machine`: users that have no password, only tokens, and a person who owns them.

use std::{collections::HashMap, io};

use clap::{Arg, Args, Subcommand};

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{
        CreateUserRequest, ListUsersResponse, SetOwnerRequest, User, UserState, UserType,
    },
};

use super::{
    client::{Client, Session},
    failure::Failure,
    output::{self, ListOutputArgs, OutputArgs},
    relative_time,
    table::{self, text, whole},
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
    let mut owner_id = None;
    if let Some(owner) = &args.owner {
        owner_id = Some(
            client
                .run(async |session| session.look_up_user(owner).await)?
                .id,
        );
    }
    let is_wanted = |user: &User| {
        user_view::is_machine(user) && owner_id.as_ref().is_none_or(|id| user.owner_id == *id)
    };
    let get = async |session: &mut Session, page| {
        let page = session
            .list_users(page, args.reverse, UserState::Unspecified)
            .await;
        let (mut users, next_token) = page?;
        // The table needs the people, too, for the owners' names. To look each owner up would leave a record for each.
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
    let reply = ListUsersResponse {
        users,
        ..ListUsersResponse::default()
    };
    Ok(args
        .output
        .print(reply, |reply| print(&reply.users, &names))?)
}

fn print(machines: &[User], names: &HashMap<String, String>) -> io::Result<()> {
    let now = SystemClock.now();
    let rows = machines.iter().map(|machine| {
        let owner = names.get(&machine.owner_id);
        [
            machine.username.clone(),
            owner.map_or_else(|| "-".to_owned(), ToString::to_string),
            user_view::role(machine).to_owned(),
            user_view::state(machine).to_owned(),
            relative_time::short(relative_time::of(machine.create_time), now),
            machine.description.clone(),
        ]
    });
    let columns = [
        whole("USERNAME"),
        whole("OWNER"),
        whole("ROLE"),
        whole("STATE"),
        whole("CREATED"),
        text("DESCRIPTION"),
    ];
    table::print(columns, rows.collect())
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
