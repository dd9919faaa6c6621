//! `hallpass machine`: users that have no password, only tokens, and a person who owns them.

use std::collections::HashMap;

use clap::{Arg, Args, Subcommand};

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{
        CreateUserRequest, ListUsersResponse, ServerRole, SetOwnerRequest, User, UserState,
        UserType,
    },
};

use super::{
    client::Client,
    failure::Failure,
    output::{self, ListOutputArgs, OutputArgs},
    relative_time,
    table::{self, text, whole},
    user::{self, Accept, ConfirmedUserArgs, Describe, RoleArg, UserArgs, list},
    user_view,
};

/// `hallpass machine …`.
#[derive(Subcommand, Debug)]
pub(super) enum MachineCommand {
    /// Create a machine.
    Create(Create),
    /// List machines and who owns them.
    List(List),
    /// Show a machine.
    #[command(alias = "show", mut_arg("user", a_machine))]
    Get(UserArgs),
    /// Hand a machine to another person. Its tokens stay as they are.
    SetOwner(SetOwner),
    /// Set a machine's description.
    #[command(mut_arg("user", a_machine))]
    Describe(Describe),
    /// Make all of a machine's tokens invalid, until it is reactivated.
    #[command(alias = "disable", mut_arg("user", a_machine))]
    Deactivate(ConfirmedUserArgs),
    /// Undo a deactivation: the machine's tokens are valid again.
    #[command(alias = "enable", mut_arg("user", a_machine))]
    Reactivate(UserArgs),
    /// Delete a machine with all its tokens. Its name is never given again.
    #[command(alias = "remove", mut_arg("user", a_machine))]
    Delete(ConfirmedUserArgs),
}

fn a_machine(arg: Arg) -> Arg {
    arg.value_name("MACHINE").help("The machine's name or ID")
}

/// `machine create`.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// The name: 3 to 40 of a-z, 0-9 and -, beginning with a letter.
    username: String,
    /// The person who owns it: a name or an ID.
    #[arg(long, value_name = "USER")]
    owner: String,
    /// What the machine may do. As an admin it counts only while its owner is an active admin.
    #[arg(long, value_enum, default_value = "member")]
    role: RoleArg,
    /// A description for people.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// `machine list`.
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

/// `machine set-owner`.
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

/// Runs `hallpass machine …`.
pub(super) fn run(command: MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::Create(args) => create(args),
        MachineCommand::List(args) => list_machines(&args),
        MachineCommand::Get(args) => user::get(&args, Accept::Machine),
        MachineCommand::SetOwner(args) => set_owner(&args),
        MachineCommand::Describe(args) => user::describe(args, Accept::Machine),
        MachineCommand::Deactivate(args) => user::deactivate(&args, Accept::Machine),
        MachineCommand::Reactivate(args) => user::reactivate(&args, Accept::Machine),
        MachineCommand::Delete(args) => user::delete(&args, Accept::Machine),
    }
}

fn create(args: Create) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let created = client.run(async |session| {
        let owner = session.look_up_user(&args.owner).await?;
        let request = CreateUserRequest {
            username: args.username,
            password: String::new(),
            user_type: UserType::Machine.into(),
            role: ServerRole::from(args.role).into(),
            description: args.description,
            owner_id: owner.id,
        };
        session.call(&request).await
    })?;
    if args.output.json {
        return Ok(output::reply(&created)?);
    }
    user_view::show(args.output, created.user.unwrap_or_default(), "created")
}

fn list_machines(args: &List) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    // People are listed with them, for the owners' names: one record in the audit log for a page, not one
    // for each owner.
    let (users, owner) = client.run(async |session| {
        let owner = match &args.owner {
            Some(name) => Some(session.look_up_user(name).await?.id),
            None => None,
        };
        let users = if args.output.jsonl {
            Vec::new()
        } else {
            list::all(session, args.reverse, UserState::Unspecified).await?
        };
        Ok((users, owner))
    })?;
    let is_wanted = |user: &User| {
        let is_of = |owner: &String| user.owner_id == *owner;
        user_view::is_machine(user) && owner.as_ref().is_none_or(is_of)
    };
    if args.output.jsonl {
        let (reverse, state) = (args.reverse, UserState::Unspecified);
        return client.print_lines(usize::MAX, async |session, page_size, page_token| {
            let page = list::page(session, reverse, state, page_size, page_token).await;
            page.map(|(users, next)| (users.into_iter().filter(is_wanted).collect(), next))
        });
    }
    let machines: Vec<_> = users.iter().filter(|user| is_wanted(user)).collect();
    if args.output.json {
        let users = machines.into_iter().cloned().collect();
        let next_page_token = String::new();
        return Ok(output::reply(&ListUsersResponse {
            users,
            next_page_token,
        })?);
    }
    print(&machines, &users)
}

fn print(machines: &[&User], users: &[User]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let names: HashMap<_, _> = users
        .iter()
        .map(|user| (&user.id, &user.username))
        .collect();
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
    Ok(table::print(columns, rows.collect())?)
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
