//! `hallpass user create`.

use clap::Args;

use crate::{
    config::target::TargetArgs,
    proto::hallpass::v1::{CreateUserRequest, ServerRole, UserType},
};

use super::{
    super::{
        client::Client,
        failure::Failure,
        output::{self, OutputArgs},
        password_input::PasswordInput,
        user_view,
    },
    RoleArg,
};

/// `user create`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    /// The name: 3 to 40 of a-z, 0-9 and -, beginning with a letter.
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
    password: PasswordInput,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass user create`.
pub(super) fn run(args: Create) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    // Nobody shall think of a password for a server that is not there.
    client.run(async |_| Ok(()))?;
    let request = CreateUserRequest {
        username: args.username,
        password: args.password.read()?.expose().to_owned(),
        user_type: UserType::Personal.into(),
        role: ServerRole::from(args.role).into(),
        description: args.description,
        owner_id: String::new(),
    };
    let created = client.call(&request)?;
    if args.output.json {
        return Ok(output::reply(&created)?);
    }
    user_view::show(args.output, created.user.unwrap_or_default(), "created")
}
