//! `hallpass token rotate`.

use std::{io, time::Duration};

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        duration,
        id::TokenId,
    },
    proto::hallpass::v1::{RotateTokenRequest, RotateTokenResponse, Token, UndoRotationRequest},
};

use super::{
    super::{
        client::Client,
        confirmation::{self, TerminalConfirmation},
        failure::Failure,
        output::{self, OutputArgs},
        relative_time,
        time_arg::{ExpiryArg, parse_expiry},
    },
    look_up, token_id,
};

/// Without --grace the old secret ends at once. It is not deleted, as without any grace: nothing brings back what is
/// deleted, and the rotation is taken back where the new secret cannot be shown.
const AT_ONCE: Duration = Duration::from_micros(1);

/// `token rotate`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    /// The token's ID.
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    id: TokenId,
    /// How long the old secret stays good, such as 1h; at most 365d. Left out: it ends at once, and on a terminal you
    /// are asked first.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// When the successor stops being valid: a duration such as 90d, a day such as 2027-01-01, as it begins in UTC,
    /// a time such as 2027-01-01T08:00:00+01:00, or never. Left out: after the old token's lifetime anew.
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<ExpiryArg>,
    #[command(flatten)]
    confirmation: TerminalConfirmation,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token rotate`.
pub(super) fn run(args: Rotate) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    // None is asked for by 0, too.
    let grace = args.grace.filter(|grace| !grace.is_zero());
    let mut was_there = false;
    if grace.is_none() {
        args.confirmation.ask(&client, || {
            let found = look_up(&client, args.id)?;
            was_there = found.is_some();
            Ok(found.map(|(impact, _)| {
                format!("{impact}. Its secret ends at once, without --grace. Rotate it?")
            }))
        })?;
    }
    let rotated = client.call(&RotateTokenRequest {
        token_id: args.id.to_string(),
        grace_period: Some(grace.unwrap_or(AT_ONCE).into()),
        expire_time: args
            .expires
            .and_then(|end| end.time(SystemClock.now()))
            .map(relative_time::to_proto),
        never_expires: args.expires == Some(ExpiryArg::Never),
    });
    let mut rotated = rotated.map_err(|failure| {
        if was_there {
            confirmation::gone_meanwhile(failure)
        } else {
            with_person(failure).naming(args.id)
        }
    })?;
    if let Err(error) = print(args.output, &rotated) {
        return Err(undo(&client, &rotated, Failure::from(error)));
    }
    let old = rotated.predecessor.take().unwrap_or_default();
    let now = SystemClock.now();
    let end = if grace.is_some() {
        format!("ends: {}", relative_time::show_expiry(old.expire_time, now))
    } else {
        "has ended".to_owned()
    };
    if !args.output.json {
        let token = rotated.metadata.unwrap_or_default();
        output::hint(&format!(
            "Keep it now: it is not shown again. It is the token {}; it expires: {}. The old one, {}, {end}.",
            token.id,
            relative_time::show_expiry(token.expire_time, now),
            old.id,
        ));
    }
    Ok(())
}

/// To an admin, others' tokens that may be seen and not rotated are not there either.
fn with_person(failure: Failure) -> Failure {
    if failure.is_refused_as("not_found") {
        failure.with_line("A person's token is rotated by that person alone.".to_owned())
    } else {
        failure
    }
}

fn print(output: OutputArgs, rotated: &RotateTokenResponse) -> io::Result<()> {
    if output.json {
        output::reply(rotated)
    } else {
        output::exact(&rotated.token)
    }
}

/// Takes back a rotation whose new secret nobody has seen, and says so, or what is left to do.
fn undo(client: &Client, rotated: &RotateTokenResponse, shown: Failure) -> Failure {
    let id = |token: &Option<Token>| token.as_ref().map(|token| token.id.clone());
    let new = id(&rotated.metadata).unwrap_or_default();
    let old = rotated.predecessor.clone().unwrap_or_default();
    let token_id = new.clone();
    let outcome = match client.call(&UndoRotationRequest { token_id }) {
        Ok(_) => format!(
            "nobody has seen the new secret, so the token {} is as it was before",
            old.id
        ),
        Err(failure) => format!(
            "nobody has seen the secret of the new token {new}, and the rotation could not be taken back ({}): \
             the old token {} ends: {}; delete the new one, and create another before that",
            failure.message().unwrap_or_default(),
            old.id,
            relative_time::show_expiry(old.expire_time, SystemClock.now()),
        ),
    };
    shown.and(&outcome)
}
