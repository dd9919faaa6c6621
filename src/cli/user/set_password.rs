//! `hallpass user set-password`.

use clap::Args;

use crate::{app::users::SetPassword, config::app::PasswordArgs, domain::secret::Secret};

use super::{
    super::{
        answer::Answer,
        failure::Failure,
        local_app::{LocalApp, find_user},
        output,
        password_input::PasswordInput,
    },
    Named, hashing_as,
};

/// `user set-password`.
#[derive(Args, Debug)]
pub(in crate::cli) struct SetPasswordArgs {
    /// Delete all of the user's tokens, too.
    #[arg(long)]
    delete_tokens: bool,
    #[command(flatten)]
    password: PasswordInput,
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    hashing: PasswordArgs,
}

/// Runs `hallpass user set-password`.
pub(super) fn run(args: &SetPasswordArgs) -> Result<(), Failure> {
    let local = LocalApp::open(&args.named.store, hashing_as(&args.hashing))?;
    let user = local.run(async |app, caller| find_user(app, caller, &args.named.user).await)?;
    let request = SetPassword {
        user_id: user.id.to_string(),
        old: Secret::new(String::new()),
        new: args.password.read()?,
        delete_tokens: args.delete_tokens,
    };
    let deleted = local.run(async |app, caller| app.set_password(caller, request).await)?;
    if args.named.output.json {
        output::json(&Answer("deletedTokens", deleted))?;
    } else {
        let name = user.username;
        output::line(&format!(
            "set the password of {name}; tokens deleted: {deleted}"
        ))?;
    }
    Ok(())
}
