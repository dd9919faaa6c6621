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
    proto::hallpass::v1::{
        DeleteTokenRequest, RotateTokenRequest, RotateTokenResponse, Token, UndoRotationRequest,
    },
};

use super::{
    super::{
        client::Client,
        failure::Failure,
        output::{self, OutputArgs},
        relative_time,
    },
    expiry::{Expiry, parse_expiry},
    token_id,
};

/// Without --grace the old secret lives on for so long at most, until the new one was shown.
const UNTIL_SHOWN: Duration = Duration::from_mins(10);

/// `token rotate`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    /// The token's ID.
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    id: TokenId,
    /// How long the old secret stays good, such as 1h; at most 365d. Left out: it is deleted as soon as the new
    /// one was shown.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// When the successor stops being valid: a duration such as 90d, a day such as 2027-01-01, as it begins in UTC,
    /// or a time such as 2027-01-01T08:00:00+01:00. Left out: after the old token's lifetime anew.
    #[arg(long, value_name = "WHEN", value_parser = parse_end)]
    expires: Option<Expiry>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// A successor's expiry: `never` is what a token has whose predecessor had it.
fn parse_end(text: &str) -> Result<Expiry, String> {
    match parse_expiry(text)? {
        Expiry::Never => Err(
            "must be a duration such as 90d, a day or a time; leave it out otherwise".to_owned(),
        ),
        expiry @ Expiry::When(_) => Ok(expiry),
    }
}

/// Runs `hallpass token rotate`.
pub(super) fn run(args: Rotate) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let grace = args.grace.unwrap_or(UNTIL_SHOWN);
    let expires = args.expires.and_then(|end| end.time(SystemClock.now()));
    let rotated = client.call(&RotateTokenRequest {
        token_id: args.id.to_string(),
        grace_period: Some(grace.into()),
        expire_time: expires.map(relative_time::to_proto),
    });
    let mut rotated = rotated.map_err(|failure| failure.naming(args.id))?;
    if let Err(error) = print(args.output, &rotated) {
        return Err(undo(&client, &rotated, Failure::from(error)));
    }
    let old = rotated.predecessor.take().unwrap_or_default();
    let now = SystemClock.now();
    let end = relative_time::show_expiry(old.expire_time, now);
    let end = if args.grace.is_some() {
        format!("ends: {end}")
    } else {
        let token_id = old.id.clone();
        let deleted = client.call(&DeleteTokenRequest { token_id });
        deleted.map_err(|failure| {
            failure.and(&format!(
                "the old token {} is still good; it ends: {end}",
                old.id
            ))
        })?;
        "is deleted".to_owned()
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
