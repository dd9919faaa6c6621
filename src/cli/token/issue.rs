//! `hallpass token create` and `rotate`: they print a new plaintext, once. If it cannot be printed, the token is useless
//! to anybody, so they undo what they did.

use std::time::Duration;

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        duration,
        id::TokenId,
    },
    proto::hallpass::v1::{
        CreateTokenRequest, CreateTokenResponse, DeleteTokenRequest, RotateTokenRequest,
        RotateTokenResponse, Token, UndoRotationRequest, UserType,
    },
};

use super::{
    super::{
        client::Client,
        confirmation::{self, TerminalConfirmation},
        failure::Failure,
        output::{self, OutputArgs},
        relative_time,
        time_arg::ExpiryArg,
    },
    look_up, token_id,
};

const CREATE_A_MACHINE: &str = "`hallpass machine create NAME --owner USER` creates a machine.";

/// Not even by an admin, who would see the secret.
const ONLY_BY_THE_PERSON: &str = "A person's tokens can only be created by that person.";

/// Without a grace period the old secret ends at once. A grace period of zero would delete the old token, and then the
/// rotation could not be undone.
const SHORTEST_GRACE: Duration = Duration::from_micros(1);

#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    /// Whose token: the name or ID of a person or, better, a machine.
    user: String,
    /// When it expires: a duration such as 90d (a year is 365 days), a day such as 2027-01-01 (from 00:00 UTC), a time
    /// such as 2027-01-01T08:00:00+01:00, or never. Default: the server's default lifetime for such users, or never if
    /// there is none.
    #[arg(long, alias = "ttl", value_name = "WHEN")]
    expires: Option<ExpiryArg>,
    /// A note to remember the token by.
    #[arg(
        long,
        alias = "name",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    note: String,
    /// A scope to limit the token to. May be repeated, or several separated by commas. Default: all that the user may
    /// do.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// A network from which the token may be used, such as 10.0.0.0/8. May be repeated, or several separated by
    /// commas. Default: from anywhere.
    #[arg(long = "cidr", value_name = "CIDR", value_delimiter = ',')]
    cidrs: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    /// The token's ID.
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    id: TokenId,
    /// How long the old secret stays valid, such as 1h; at most 365d. Default: it ends at once, and on a terminal you
    /// are asked first.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// When the new token expires: a duration such as 90d, a day such as 2027-01-01 (from 00:00 UTC), a time such as
    /// 2027-01-01T08:00:00+01:00, or never. Default: the old token's lifetime, from now on.
    #[arg(long, value_name = "WHEN")]
    expires: Option<ExpiryArg>,
    #[command(flatten)]
    confirmation: TerminalConfirmation,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn create(args: Create) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let expires = args
        .expires
        .and_then(|expiry| expiry.time(SystemClock.now()));
    let (created, username) = client.run(async |session| {
        let user = session.look_up_user(&args.user).await;
        let user = user.map_err(|failure| failure.hint_if("not_found", CREATE_A_MACHINE))?;
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
        let created = created.map_err(|failure| match user.r#type() {
            UserType::Personal => failure.hint_if("permission_denied", ONLY_BY_THE_PERSON),
            _ => failure,
        });
        Ok((created?, user.username))
    })?;
    let token = created.metadata.clone().unwrap_or_default();
    let printed = args.output.print(created, |created: CreateTokenResponse| {
        output::exact(&created.token)
    });
    if let Err(error) = printed {
        return Err(undo_create(&client, token.id, Failure::from(error)));
    }
    if !args.output.json {
        let expires = relative_time::show_expiry(token.expire_time, SystemClock.now());
        let parent = match &*token.parent_id {
            "" => String::new(),
            parent => format!(" It ends with the token {parent} with which it was created."),
        };
        output::hint(&format!(
            "Save it now: it is not shown again. Token {} of {username}; expires: {expires}.{parent}",
            token.id
        ));
    }
    Ok(())
}

/// Deletes a token that could not be printed, and adds the result to the failure.
fn undo_create(client: &Client, token_id: String, failure: Failure) -> Failure {
    let deleted = client.call(&DeleteTokenRequest {
        token_id: token_id.clone(),
    });
    failure.and(&match deleted {
        Ok(_) => format!("the token {token_id} was deleted again, since nobody has seen its secret"),
        Err(error) => format!(
            "nobody has seen the secret of the token {token_id}, and it could not be deleted again ({}): \
             run `hallpass token delete {token_id}`",
            error.message().unwrap_or_default()
        ),
    })
}

pub(super) fn rotate(args: Rotate) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let grace = args.grace.filter(|grace| !grace.is_zero());
    let mut was_found = false;
    if grace.is_none() {
        args.confirmation.ask(&client, || {
            let found = look_up(&client, args.id)?;
            was_found = found.is_some();
            Ok(found.map(|(impact, _)| {
                format!("{impact}. Without --grace its secret ends at once. Rotate it?")
            }))
        })?;
    }
    let rotated = client.call(&RotateTokenRequest {
        token_id: args.id.to_string(),
        grace_period: Some(grace.unwrap_or(SHORTEST_GRACE).into()),
        expire_time: args
            .expires
            .and_then(|expiry| expiry.time(SystemClock.now()))
            .map(relative_time::to_proto),
        never_expires: args.expires == Some(ExpiryArg::Never),
    });
    let rotated = rotated.map_err(|failure| {
        if was_found {
            return confirmation::deleted_meanwhile(failure);
        }
        // An admin may see others' tokens, but not rotate them.
        let hint = "A person's token can only be rotated by that person.";
        failure.hint_if("not_found", hint).naming(args.id)
    })?;
    let new = rotated.metadata.clone().unwrap_or_default();
    let old = rotated.predecessor.clone().unwrap_or_default();
    let printed = args.output.print(rotated, |rotated: RotateTokenResponse| {
        output::exact(&rotated.token)
    });
    if let Err(error) = printed {
        return Err(undo_rotation(&client, new.id, &old, Failure::from(error)));
    }
    if !args.output.json {
        let now = SystemClock.now();
        let old_end = match grace {
            Some(_) => format!("ends: {}", relative_time::show_expiry(old.expire_time, now)),
            None => "has ended".to_owned(),
        };
        output::hint(&format!(
            "Save it now: it is not shown again. Token {}; expires: {}. The old token {} {old_end}.",
            new.id,
            relative_time::show_expiry(new.expire_time, now),
            old.id,
        ));
    }
    Ok(())
}

/// Undoes a rotation whose new secret could not be printed, and adds the result to the failure.
fn undo_rotation(client: &Client, new_id: String, old: &Token, failure: Failure) -> Failure {
    let undone = client.call(&UndoRotationRequest {
        token_id: new_id.clone(),
    });
    failure.and(&match undone {
        Ok(_) => format!("nobody has seen the new secret, so the token {} is as it was before", old.id),
        Err(error) => format!(
            "nobody has seen the secret of the new token {new_id}, and the rotation could not be undone ({}): \
             the old token {} ends: {}; delete the new one, and create another before that",
            error.message().unwrap_or_default(),
            old.id,
            relative_time::show_expiry(old.expire_time, SystemClock.now()),
        ),
    })
}
