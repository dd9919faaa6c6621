//! `hallpass token create`.

use std::io;

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{CreateTokenRequest, CreateTokenResponse, DeleteTokenRequest, UserType},
};

use super::super::{
    client::Client,
    failure::Failure,
    output::{self, OutputArgs},
    relative_time,
    time_arg::{ExpiryArg, parse_expiry},
};

/// Where there is no such user: most likely the machine is still to be made.
const NO_USER: &str = "`hallpass machine create NAME --owner USER` creates a machine.";

/// Of a person: an admin would get to know its secret.
const BY_ITSELF: &str = "A person's tokens are made by that person alone.";

/// `token create`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    /// Whose it shall be: the name or ID of a person or, better, a machine.
    user: String,
    /// When it stops being valid: a duration such as 90d (a year is 365 days), a day such as 2027-01-01, as it begins
    /// in UTC, a time such as 2027-01-01T08:00:00+01:00, or never. Not set: after the default lifetime of such a
    /// user's tokens; without one, never.
    #[arg(long, alias = "ttl", value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<ExpiryArg>,
    /// What to remember the token by.
    #[arg(
        long,
        alias = "name",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    note: String,
    /// A scope that limits the token. May be repeated, or several with commas. None: all that the user may.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// A network that the token may be used from, such as 10.0.0.0/8. May be repeated, or several with commas. None:
    /// from anywhere.
    #[arg(long = "cidr", value_name = "CIDR", value_delimiter = ',')]
    cidrs: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token create`.
pub(super) fn run(args: Create) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let expires = args
        .expires
        .and_then(|expiry| expiry.time(SystemClock.now()));
    let created = client.run(async |session| {
        let user = session.look_up_user(&args.user).await;
        let user = user.map_err(|failure| {
            if failure.is_refused_as("not_found") {
                failure.with_line(NO_USER.to_owned())
            } else {
                failure
            }
        })?;
        let request = CreateTokenRequest {
            note: args.note,
            expire_time: expires.map(relative_time::to_proto),
            user_id: user.id.clone(),
            scopes: args.scopes,
            allowed_cidrs: args.cidrs,
            never_expires: args.expires == Some(ExpiryArg::Never),
            ..CreateTokenRequest::default()
        };
        let created = session.call(&request).await;
        let created = created.map_err(|failure| {
            let is_person = user.r#type() == UserType::Personal;
            if is_person && failure.is_refused_as("permission_denied") {
                failure.with_line(BY_ITSELF.to_owned())
            } else {
                failure
            }
        });
        Ok((created?, user.username))
    });
    let (created, username) = created?;
    if let Err(error) = print(args.output, &created) {
        return Err(undo(&client, &created, Failure::from(error)));
    }
    if !args.output.json {
        let token = created.metadata.unwrap_or_default();
        let expires = relative_time::show_expiry(token.expire_time, SystemClock.now());
        let with = match &*token.parent_id {
            "" => String::new(),
            parent => format!(" It ends with the token {parent}, too, which it was made with."),
        };
        output::hint(&format!(
            "Keep it now: it is not shown again. It is the token {} of {username}; it expires: {expires}.{with}",
            token.id
        ));
    }
    Ok(())
}

fn print(output: OutputArgs, created: &CreateTokenResponse) -> io::Result<()> {
    if output.json {
        output::reply(created)
    } else {
        output::exact(&created.token)
    }
}

/// Deletes a token whose secret nobody has seen, and says so, or that it could not.
fn undo(client: &Client, created: &CreateTokenResponse, shown: Failure) -> Failure {
    let token_id = created.metadata.as_ref().map(|token| token.id.clone());
    let token_id = token_id.unwrap_or_default();
    let done = client.call(&DeleteTokenRequest {
        token_id: token_id.clone(),
    });
    let outcome = match done {
        Ok(_) => {
            format!("the token {token_id} was deleted again, since nobody has seen its secret")
        }
        Err(failure) => format!(
            "nobody has seen the secret of the token {token_id}, and it could not be deleted again ({}): \
             run `hallpass token delete {token_id}`",
            failure.message().unwrap_or_default()
        ),
    };
    shown.and(&outcome)
}
