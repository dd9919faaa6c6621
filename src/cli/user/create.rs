//! `hallpass user create`.

use clap::Args;

use crate::{
    app::users::{CreateUser, NewUser},
    config::{app::PasswordArgs, store::StoreArgs},
};

use super::{
    super::{
        failure::Failure, local_app::LocalApp, output::OutputArgs, password_input::PasswordInput,
        user_view,
    },
    RoleArg, hashing_as,
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
    store: StoreArgs,
    #[command(flatten)]
    hashing: PasswordArgs,
}

/// Runs `hallpass user create`.
pub(super) fn run(args: Create) -> Result<(), Failure> {
    let local = LocalApp::open(&args.store, hashing_as(&args.hashing))?;
    let request = CreateUser {
        username: args.username,
        description: args.description,
        role: Ok(args.role.into()),
        kind: Ok(NewUser::Person {
            password: args.password.read()?,
        }),
    };
    let user = local.run(async |app, caller| app.create_user(caller, request).await)?;
    user_view::show(args.output, &user, "created")
}
