//! `hallpass user`: people, and what is done to any user.

mod create;
pub(super) mod list;
mod set_password;

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{
        DeactivateUserRequest, DeleteUserRequest, LookUpUserResponse, ReactivateUserRequest,
        ServerRole, UpdateUserServerRoleRequest, UpdateUserSettingsRequest, User, UserType,
    },
};

use super::{
    client::{Client, Session},
    confirmation::{self, Confirmation},
    failure::Failure,
    impact,
    output::{self, OutputArgs},
    user_view,
};

/// What a person leaves behind is theirs no more only when the machines are somebody else's, with new secrets.
const LEAVER: &str = "\
Somebody leaves:
  hallpass user deactivate alice
  hallpass machine list --owner alice
  hallpass machine set-owner ci-bot bob          each of them
  hallpass token list ci-bot                     what alice may know
  hallpass token rotate TOKEN_ID --grace 1h      or `hallpass token revoke --user ci-bot`";

/// `hallpass user …`.
#[derive(Subcommand, Debug)]
pub(super) enum UserCommand {
    /// Create a person, who signs in with a password.
    Create(create::Create),
    /// List users: people and machines.
    List(list::List),
    /// Show a user.
    #[command(alias = "show")]
    Get(UserArgs),
    /// Set a person's password.
    SetPassword(set_password::SetPasswordArgs),
    /// Make a user an admin or a member.
    SetRole(SetRole),
    /// Set a user's description.
    Describe(Describe),
    /// Make all of a user's tokens invalid, until it is reactivated. Its machines keep theirs.
    #[command(alias = "disable", after_help = LEAVER)]
    Deactivate(ConfirmedUserArgs),
    /// Undo a deactivation: the user's tokens are valid again.
    #[command(alias = "enable")]
    Reactivate(UserArgs),
    /// Delete a user with all its tokens. Its name is never given again.
    #[command(alias = "remove")]
    Delete(ConfirmedUserArgs),
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

/// Accept a command is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Accept {
    /// People and machines.
    AnyUser,
    /// Machines alone.
    Machine,
}

impl Accept {
    /// The user that is named.
    async fn find(self, session: &mut Session, name: &str) -> Result<User, Failure> {
        let user = session.find_user(name).await?;
        self.check(user.user_type(), &user.username)?;
        Ok(user)
    }

    /// What must be known of the user that is named, before something is done to it.
    async fn look_up(
        self,
        session: &mut Session,
        name: &str,
    ) -> Result<LookUpUserResponse, Failure> {
        let found = session.look_up_user(name).await?;
        self.check(found.r#type(), &found.username)?;
        Ok(found)
    }

    fn check(self, kind: UserType, name: &str) -> Result<(), Failure> {
        match self {
            Self::Machine if kind != UserType::Machine => Err(Failure::failed(format!(
                "{name} is a person, and no machine: `hallpass user` is for people, too"
            ))),
            Self::AnyUser | Self::Machine => Ok(()),
        }
    }
}

/// Commands that need no more than a user.
#[derive(Args, Debug)]
pub(super) struct UserArgs {
    /// The user's name or ID.
    user: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Commands that end something: they ask first.
#[derive(Args, Debug)]
pub(super) struct ConfirmedUserArgs {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    named: UserArgs,
}

impl ConfirmedUserArgs {
    /// Accept to end. What would break is looked at only if somebody is asked: an admin who does is recorded.
    fn find(&self, accept: Accept) -> Result<(Client, LookUpUserResponse), Failure> {
        self.confirmation.check()?;
        let client = Client::new(&self.named.target)?;
        let name = &self.named.user;
        let found = client.run(async |session| {
            let mut found = accept.look_up(session, name).await?;
            if !self.confirmation.is_given() {
                found = session.look_up_impact(&found.id).await?;
            }
            Ok(found)
        })?;
        Ok((client, found))
    }
}

/// `user describe`.
#[derive(Args, Debug)]
pub(super) struct Describe {
    /// The description for people from now on; an empty one is none.
    // First here, as the headings of the flags of `named` would go on, and counted, as it comes second.
    #[arg(value_name = "TEXT", index = 2)]
    description: String,
    #[command(flatten)]
    named: UserArgs,
}

/// `user set-role`.
#[derive(Args, Debug)]
pub(super) struct SetRole {
    /// What the user may do from now on.
    #[arg(value_enum, index = 2)]
    role: RoleArg,
    #[command(flatten)]
    named: UserArgs,
}

/// Runs `hallpass user …`.
pub(super) fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Create(args) => create::run(args),
        UserCommand::List(args) => list::run(&args),
        UserCommand::Get(args) => get(&args, Accept::AnyUser),
        UserCommand::SetPassword(args) => set_password::run(&args),
        UserCommand::SetRole(args) => set_role(&args),
        UserCommand::Describe(args) => describe(args, Accept::AnyUser),
        UserCommand::Deactivate(args) => deactivate(&args, Accept::AnyUser),
        UserCommand::Reactivate(args) => reactivate(&args, Accept::AnyUser),
        UserCommand::Delete(args) => delete(&args, Accept::AnyUser),
    }
}

/// Runs `get`.
pub(super) fn get(args: &UserArgs, accept: Accept) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let (user, owner) = client.run(async |session| {
        let user = accept.find(session, &args.user).await?;
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

/// Runs `describe`.
pub(super) fn describe(args: Describe, accept: Accept) -> Result<(), Failure> {
    let client = Client::new(&args.named.target)?;
    let user = client.run(async |session| {
        let request = UpdateUserSettingsRequest {
            user_id: accept.look_up(session, &args.named.user).await?.id,
            description: Some(args.description),
        };
        let user = session.call(&request).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    })?;
    user_view::show(args.named.output, user, "changed")
}

/// Runs `deactivate`.
pub(super) fn deactivate(args: &ConfirmedUserArgs, accept: Accept) -> Result<(), Failure> {
    let (client, found) = args.find(accept)?;
    let (impact, name) = (impact::of_user(&found, SystemClock.now()), &found.username);
    let question = format!("{impact}. Deactivate {name} and all its tokens?");
    args.confirmation.ask(&client, &question)?;
    let user = client.run(async |session| {
        let request = DeactivateUserRequest { id: found.id };
        let user = session.call(&request).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    });
    let user = user.map_err(confirmation::gone_meanwhile)?;
    let is_person = !user_view::is_machine(&user);
    user_view::show(args.named.output, user, "deactivated")?;
    // Without the question their number is not known.
    if is_person && (found.machines > 0 || args.confirmation.is_given()) {
        let name = found.username;
        output::hint(&format!(
            "Machines of {name} keep their tokens: see `hallpass machine list --owner {name}`."
        ));
    }
    Ok(())
}

/// Runs `reactivate`.
pub(super) fn reactivate(args: &UserArgs, accept: Accept) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let user = client.run(async |session| {
        let id = accept.look_up(session, &args.user).await?.id;
        let user = session.call(&ReactivateUserRequest { id }).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    })?;
    user_view::show(args.output, user, "reactivated")
}

/// Runs `delete`.
pub(super) fn delete(args: &ConfirmedUserArgs, accept: Accept) -> Result<(), Failure> {
    let (client, found) = args.find(accept)?;
    let (impact, name) = (impact::of_user(&found, SystemClock.now()), &found.username);
    let question = format!("{impact}. Delete {name} and all its tokens for ever?");
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
