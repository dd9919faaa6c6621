//! `hallpass user`: people, and operations on any user. `hallpass machine` shares most of them.

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{
        CreateUserRequest, CreateUserResponse, DeactivateUserRequest, DeleteUserRequest,
        ListUsersResponse, LookUpUserResponse, ReactivateUserRequest, ServerRole,
        SetPasswordRequest, UpdateUserServerRoleRequest, UpdateUserSettingsRequest, User,
        UserState, UserType,
    },
};

use super::{
    client::{Client, Session},
    confirmation::{self, Confirmation},
    failure::Failure,
    impact,
    output::{self, ListOutputArgs, OutputArgs},
    password_input::PasswordInput,
    user_view,
};

const OFFBOARDING: &str = "\
When somebody leaves:
  hallpass user deactivate alice
  hallpass machine list --owner alice
  hallpass machine set-owner ci-bot bob          for each machine
  hallpass token list ci-bot                     tokens that alice may know
  hallpass token rotate TOKEN_ID --grace 1h      or `hallpass token revoke --user ci-bot`";

#[derive(Subcommand, Debug)]
pub(super) enum UserCommand {
    /// Create a person, who signs in with a password.
    Create(Create),
    /// List users: people and machines.
    List(List),
    /// Show a user.
    #[command(alias = "show")]
    Get(UserArgs),
    /// Set a person's password.
    SetPassword(SetPassword),
    /// Make a user an admin or a member.
    SetRole(SetRole),
    /// Set a user's description.
    Describe(Describe),
    /// Make all of a user's tokens invalid until the user is reactivated. The user's machines keep their tokens.
    #[command(alias = "disable", after_help = OFFBOARDING)]
    Deactivate(ConfirmedUserArgs),
    /// Reactivate a deactivated user. Its tokens are valid again.
    #[command(alias = "enable")]
    Reactivate(UserArgs),
    /// Delete a user and all its tokens. Nobody can ever have the name again.
    #[command(alias = "remove")]
    Delete(ConfirmedUserArgs),
}

/// What a user may do on the server.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleArg {
    /// May manage all users and tokens.
    Admin,
    /// May manage itself and its own machines.
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

/// Which users a command accepts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Accept {
    AnyUser,
    Machine,
}

impl Accept {
    fn check(self, kind: UserType, name: &str) -> Result<(), Failure> {
        match self {
            Self::Machine if kind != UserType::Machine => Err(Failure::failed(format!(
                "{name} is a person, not a machine: use `hallpass user`"
            ))),
            Self::AnyUser | Self::Machine => Ok(()),
        }
    }
}

/// The arguments that every new user needs.
#[derive(Args, Debug)]
pub(super) struct NewUserArgs {
    /// The name: 3 to 40 of a-z, 0-9 and -, starting with a letter.
    username: String,
    /// What the user may do.
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
    pub(super) target: TargetArgs,
}

impl NewUserArgs {
    pub(super) fn request(&self, user_type: UserType) -> CreateUserRequest {
        CreateUserRequest {
            username: self.username.clone(),
            user_type: user_type.into(),
            role: ServerRole::from(self.role).into(),
            description: self.description.clone(),
            ..CreateUserRequest::default()
        }
    }

    pub(super) fn show(&self, created: CreateUserResponse) -> Result<(), Failure> {
        user_view::show(self.output, created.user.unwrap_or_default(), "created")
    }
}

#[derive(Args, Debug)]
pub(super) struct Create {
    // First, since the help headings inside `user` would apply to what follows.
    #[command(flatten)]
    password: PasswordInput,
    #[command(flatten)]
    user: NewUserArgs,
}

#[derive(Args, Debug)]
pub(super) struct List {
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
    output: ListOutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// The arguments of commands that only need a user.
#[derive(Args, Debug)]
pub(super) struct UserArgs {
    /// The user's name or ID.
    user: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

impl UserArgs {
    /// Calls a procedure with the user's ID, and shows the user that it returns.
    fn change(
        &self,
        accept: Accept,
        done: &str,
        call: impl AsyncFnOnce(&mut Session, String) -> Result<Option<User>, Failure>,
    ) -> Result<(), Failure> {
        let user = Client::new(&self.target)?.run(async |session| {
            let found = session.look_up_user(&self.user).await?;
            accept.check(found.r#type(), &found.username)?;
            let user = call(session, found.id).await?;
            user.ok_or_else(|| session.incomplete("user"))
        })?;
        user_view::show(self.output, user, done)
    }
}

/// The arguments of commands that ask before they end a user.
#[derive(Args, Debug)]
pub(super) struct ConfirmedUserArgs {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    user: UserArgs,
}

impl ConfirmedUserArgs {
    /// Finds the user, and asks whether to end it. What would break is only read for the question, since an admin's
    /// read is recorded.
    fn confirm(
        &self,
        accept: Accept,
        question: impl FnOnce(&str) -> String,
    ) -> Result<(Client, LookUpUserResponse), Failure> {
        self.confirmation.check()?;
        let client = Client::new(&self.user.target)?;
        let user = &self.user.user;
        let found = client.run(async |session| {
            let found = session.look_up_user(user).await?;
            accept.check(found.r#type(), &found.username)?;
            if self.confirmation.is_given() {
                return Ok(found);
            }
            session.look_up_user_with_impact(&found.id).await
        })?;
        let impact = impact::of_user(&found, SystemClock.now());
        let question = format!("{impact}. {}", question(&found.username));
        self.confirmation.ask(&client, &question)?;
        Ok((client, found))
    }
}

#[derive(Args, Debug)]
pub(super) struct SetPassword {
    /// Delete all of the user's tokens, too.
    #[arg(long)]
    delete_tokens: bool,
    #[command(flatten)]
    password: PasswordInput,
    #[command(flatten)]
    user: UserArgs,
}

#[derive(Args, Debug)]
pub(super) struct Describe {
    /// The new description for people; an empty one removes it.
    // First, since the help headings inside `user` would apply to what follows.
    #[arg(value_name = "TEXT", index = 2)]
    description: String,
    #[command(flatten)]
    user: UserArgs,
}

#[derive(Args, Debug)]
pub(super) struct SetRole {
    /// What the user may do from now on.
    #[arg(value_enum, index = 2)]
    role: RoleArg,
    #[command(flatten)]
    user: UserArgs,
}

pub(super) fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Create(args) => create(&args),
        UserCommand::List(args) => list(&args),
        UserCommand::Get(args) => get(&args, Accept::AnyUser),
        UserCommand::SetPassword(args) => set_password(&args),
        UserCommand::SetRole(args) => set_role(&args),
        UserCommand::Describe(args) => describe(args, Accept::AnyUser),
        UserCommand::Deactivate(args) => deactivate(&args, Accept::AnyUser),
        UserCommand::Reactivate(args) => reactivate(&args, Accept::AnyUser),
        UserCommand::Delete(args) => delete(&args, Accept::AnyUser),
    }
}

fn create(args: &Create) -> Result<(), Failure> {
    // Connects first: nobody should type a password for a server that is not there.
    let client = Client::new(&args.user.target)?;
    client.run(async |_| Ok(()))?;
    let created = client.call(&CreateUserRequest {
        password: args.password.read()?.expose().to_owned(),
        ..args.user.request(UserType::Personal)
    })?;
    args.user.show(created)
}

fn list(args: &List) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let state = match (args.active, args.deactivated) {
        (true, _) => UserState::Active,
        (_, true) => UserState::Deactivated,
        _ => UserState::Unspecified,
    };
    let get =
        async |session: &mut Session, page| session.list_users(page, args.reverse, state).await;
    let Some(users) = client.list(args.output, None, get)? else {
        return Ok(());
    };
    let reply = ListUsersResponse {
        users,
        ..ListUsersResponse::default()
    };
    Ok(args.output.print(reply, |reply| {
        user_view::list(&reply.users, "TYPE", |user| {
            user_view::kind(user).to_owned()
        })
    })?)
}

pub(super) fn get(args: &UserArgs, accept: Accept) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let (user, owner) = client.run(async |session| {
        let user = session.get_user(&args.user).await?;
        accept.check(user.user_type(), &user.username)?;
        // The JSON has no owner's name. A caller who may not look up the owner sees the ID.
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

fn set_password(args: &SetPassword) -> Result<(), Failure> {
    let client = Client::new(&args.user.target)?;
    let user = client.run(async |session| session.look_up_user(&args.user.user).await)?;
    let reply = client.call(&SetPasswordRequest {
        user_id: user.id,
        old_password: String::new(),
        new_password: args.password.read()?.expose().to_owned(),
        delete_tokens: args.delete_tokens,
    })?;
    Ok(args.user.output.print(reply, |reply| {
        let (name, count) = (user.username, reply.deleted_tokens);
        output::line(&format!(
            "set the password of {name}; tokens deleted: {count}"
        ))
    })?)
}

fn set_role(args: &SetRole) -> Result<(), Failure> {
    let server_role = ServerRole::from(args.role).into();
    let change = async |session: &mut Session, user_id| {
        let request = UpdateUserServerRoleRequest {
            user_id,
            server_role,
        };
        Ok(session.call(&request).await?.user)
    };
    args.user.change(Accept::AnyUser, "changed", change)
}

pub(super) fn describe(args: Describe, accept: Accept) -> Result<(), Failure> {
    let description = Some(args.description);
    let change = async |session: &mut Session, user_id| {
        let request = UpdateUserSettingsRequest {
            user_id,
            description,
        };
        Ok(session.call(&request).await?.user)
    };
    args.user.change(accept, "changed", change)
}

pub(super) fn deactivate(args: &ConfirmedUserArgs, accept: Accept) -> Result<(), Failure> {
    let question = |name: &str| format!("Deactivate {name} and all its tokens?");
    let (client, found) = args.confirm(accept, question)?;
    let user = client.run(async |session| {
        let request = DeactivateUserRequest { id: found.id };
        let user = session.call(&request).await?.user;
        user.ok_or_else(|| session.incomplete("user"))
    });
    let user = user.map_err(confirmation::deleted_meanwhile)?;
    let is_person = !user_view::is_machine(&user);
    user_view::show(args.user.output, user, "deactivated")?;
    // Without a question the number of machines is not known.
    if is_person && (found.machines > 0 || args.confirmation.is_given()) {
        let name = found.username;
        output::hint(&format!(
            "Machines of {name} keep their tokens: see `hallpass machine list --owner {name}`."
        ));
    }
    Ok(())
}

pub(super) fn reactivate(args: &UserArgs, accept: Accept) -> Result<(), Failure> {
    args.change(accept, "reactivated", async |session, id| {
        Ok(session.call(&ReactivateUserRequest { id }).await?.user)
    })
}

pub(super) fn delete(args: &ConfirmedUserArgs, accept: Accept) -> Result<(), Failure> {
    let question = |name: &str| format!("Delete {name} and all its tokens permanently?");
    let (client, found) = args.confirm(accept, question)?;
    let reply = client.call(&DeleteUserRequest { id: found.id });
    let reply = reply.map_err(confirmation::deleted_meanwhile)?;
    Ok(args.user.output.print(reply, |reply| {
        let (name, count) = (found.username, reply.deleted_tokens);
        output::line(&format!("deleted {name}; tokens deleted with it: {count}"))
    })?)
}
