//! `hallpass token rotate`.

use std::time::Duration;

use clap::Args;

use crate::{
    app::{AppOptions, tokens::RotateToken},
    config::{app::TokenArgs, store::StoreArgs},
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
    },
};

use super::{
    super::{
        answer::{RotatedAnswer, TokenAnswer},
        failure::Failure,
        local_app::LocalApp,
        output::{self, OutputArgs},
        relative_time,
    },
    expiry::{Expiry, parse_expiry},
};

/// `token rotate`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    /// The token's ID; `token inspect` tells it of a plaintext.
    #[arg(value_name = "TOKEN_ID")]
    id: String,
    /// How long the old secret stays good, such as 1h; at most 365d. Left out: it is deleted at once.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
    /// When the successor stops being valid: a duration such as 90d, or a time such as 2027-01-01T00:00:00Z.
    /// Left out: after the old token's lifetime anew.
    #[arg(long, value_name = "WHEN", value_parser = parse_end)]
    expires: Option<Expiry>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    limits: TokenArgs,
}

/// A successor's expiry: `never` is what a token has whose predecessor had it.
fn parse_end(text: &str) -> Result<Expiry, String> {
    match parse_expiry(text)? {
        Expiry::Never => Err(
            "must be a duration such as 90d, or a time in UTC; leave it out otherwise".to_owned(),
        ),
        expiry @ Expiry::When(_) => Ok(expiry),
    }
}

/// Runs `hallpass token rotate`.
pub(super) fn run(args: Rotate) -> Result<(), Failure> {
    let mut options = AppOptions::default();
    args.limits.apply(&mut options)?;
    let local = LocalApp::open(&args.store, options)?;
    let grace = args.grace.map(|grace| {
        let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let nanos = i32::try_from(grace.subsec_nanos()).unwrap_or(i32::MAX);
        (seconds, nanos)
    });
    let expires = args.expires.and_then(|end| end.time(SystemClock.now()));
    let request = RotateToken {
        token_id: args.id,
        grace_period: grace,
        expire_time: expires.map(Timestamp::to_parts),
    };
    let rotated = local.run(async |app, caller| app.rotate_token(caller, request).await)?;
    let (text, token, old) = (rotated.text, rotated.token, rotated.predecessor);
    if args.output.json {
        return Ok(output::json(&RotatedAnswer {
            token: text.expose(),
            metadata: TokenAnswer::from(&token),
            predecessor: TokenAnswer::from(&old),
        })?);
    }
    output::line(text.expose())?;
    let now = SystemClock.now();
    let end = match old.delete_time {
        Some(_) => "is deleted".to_owned(),
        None => format!("ends: {}", relative_time::show_expiry(old.expire_time, now)),
    };
    output::hint(&format!(
        "Keep it now: it is not shown again. It is the token {}; it expires: {}. The old one, {}, {end}.",
        token.id,
        relative_time::show_expiry(token.expire_time, now),
        old.id,
    ));
    Ok(())
}
