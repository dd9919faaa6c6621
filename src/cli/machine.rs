//! `hallpass machine`: users that have no password, only tokens, and a person who owns them.

use std::collections::HashMap;

use clap::{Args, Subcommand};

use crate::{
    app::{
        AppOptions,
        users::{CreateUser, ListUsers, NewUser},
    },
    config::store::StoreArgs,
    domain::{
        clock::{Clock, SystemClock},
        user::User,
    },
};

use super::{
    answer::{Answer, UserAnswer},
    failure::Failure,
    local_app::{LocalApp, all_pages, find_user},
    output::{self, OutputArgs},
    relative_time,
    user::RoleArg,
    user_view,
};

/// `hallpass machine …`.
#[derive(Subcommand, Debug)]
pub(super) enum MachineCommand {
    /// Create a machine.
    Create(Create),
    /// List machines and who owns them.
    List(List),
    /// Hand a machine to another person.
    SetOwner(SetOwner),
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
    store: StoreArgs,
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
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
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
    store: StoreArgs,
}

/// Runs `hallpass machine …`.
pub(super) fn run(command: MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::Create(args) => create(args),
        MachineCommand::List(args) => list(&args),
        MachineCommand::SetOwner(args) => set_owner(&args),
    }
}

fn create(args: Create) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let machine = local.run(async |app, caller| {
        let owner = find_user(app, caller, &args.owner).await?;
        let request = CreateUser {
            username: args.username,
            description: args.description,
            role: Ok(args.role.into()),
            kind: Ok(NewUser::Machine {
                owner_id: Some(owner.id.to_string()),
            }),
        };
        app.create_user(caller, request).await
    })?;
    user_view::show(args.output, &machine, "created")
}

fn list(args: &List) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    // People are listed with them, for the owners' names: one record in the audit log for a page, not one
    // for each owner.
    let (users, owner) = local.run(async |app, caller| {
        let owner = match &args.owner {
            Some(name) => Some(find_user(app, caller, name).await?.id),
            None => None,
        };
        let users = all_pages(args.reverse, usize::MAX, async |page| {
            let request = ListUsers {
                page,
                deactivated: Ok(None),
                kind: Ok(None),
            };
            app.list_users(caller, request).await
        });
        Ok((users.await?, owner))
    })?;
    let machines: Vec<_> = users
        .iter()
        .filter(|user| {
            user.owner()
                .is_some_and(|id| owner.is_none_or(|owner| owner == id))
        })
        .collect();
    if args.output.json {
        let machines: Vec<_> = machines.into_iter().map(UserAnswer::from).collect();
        output::json(&Answer("users", machines))?;
    } else {
        table(&machines, &users)?;
    }
    Ok(())
}

fn table(machines: &[&User], users: &[User]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let names: HashMap<_, _> = users.iter().map(|user| (user.id, &user.username)).collect();
    let rows = machines.iter().map(|machine| {
        let owner = machine.owner().and_then(|id| names.get(&id));
        [
            machine.username.to_string(),
            machine.id.to_string(),
            owner.map_or_else(|| "-".to_owned(), ToString::to_string),
            user_view::role(machine.role).to_owned(),
            user_view::state(machine).to_owned(),
            relative_time::show(machine.create_time, now),
            machine.description.as_str().to_owned(),
        ]
    });
    let header = [
        "USERNAME",
        "ID",
        "OWNER",
        "ROLE",
        "STATE",
        "CREATED",
        "DESCRIPTION",
    ];
    Ok(output::table(header, rows.collect())?)
}

fn set_owner(args: &SetOwner) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let machine = local.run(async |app, caller| {
        let id = find_user(app, caller, &args.machine).await?.id.to_string();
        let owner = find_user(app, caller, &args.owner).await?.id.to_string();
        app.set_owner(caller, &id, &owner).await?;
        app.get_user(caller, &id).await
    })?;
    user_view::show(args.output, &machine, "changed")
}
