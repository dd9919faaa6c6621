//! `hallpass user set-password`.

use clap::Args;

use crate::proto::hallpass::v1::SetPasswordRequest;

use super::{
    super::{client::Client, failure::Failure, output, password_input::PasswordInput},
    UserArgs,
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
    named: UserArgs,
}

/// Runs `hallpass user set-password`.
pub(super) fn run(args: &SetPasswordArgs) -> Result<(), Failure> {
    let client = Client::new(&args.named.target)?;
    let user = client.run(async |session| session.look_up_user(&args.named.user).await)?;
    let done = client.call(&SetPasswordRequest {
        user_id: user.id,
        old_password: String::new(),
        new_password: args.password.read()?.expose().to_owned(),
        delete_tokens: args.delete_tokens,
    })?;
    if args.named.output.json {
        output::reply(&done)?;
    } else {
        let (name, count) = (user.username, done.deleted_tokens);
        output::line(&format!(
            "set the password of {name}; tokens deleted: {count}"
        ))?;
    }
    Ok(())
}
