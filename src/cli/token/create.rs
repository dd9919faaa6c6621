//! `hallpass token create`.

use clap::Args;

use crate::{
    app::{AppOptions, tokens::CreateToken},
    config::{app::TokenArgs, store::StoreArgs},
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
    },
};

use super::{
    super::{
        answer::{CreatedAnswer, TokenAnswer},
        failure::Failure,
        local_app::{LocalApp, find_user},
        output::{self, OutputArgs},
        relative_time,
    },
    expiry::{Expiry, parse_expiry},
};

/// `token create`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    /// Whose it shall be: the name or ID of a person or, better, a machine.
    user: String,
    /// When it stops being valid: a duration such as 90d, a time such as 2027-01-01T00:00:00Z, or never. Not
    /// set: after the default lifetime of such a user's tokens; without one, never.
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<Expiry>,
    /// What to remember the token by.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    note: String,
    /// A scope that limits the token. May be repeated. None: all that the user may.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A network that the token may be used from, such as 10.0.0.0/8. May be repeated. None: from anywhere.
    #[arg(long = "cidr", value_name = "CIDR")]
    cidrs: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    limits: TokenArgs,
}

/// Runs `hallpass token create`.
pub(super) fn run(args: Create) -> Result<(), Failure> {
    let mut options = AppOptions::default();
    args.limits.apply(&mut options)?;
    let local = LocalApp::open(&args.store, options)?;
    let user = local.run(async |app, caller| find_user(app, caller, &args.user).await)?;
    let expires = args
        .expires
        .and_then(|expiry| expiry.time(SystemClock.now()));
    let request = CreateToken {
        note: args.note,
        expire_time: expires.map(Timestamp::to_parts),
        never_expires: args.expires == Some(Expiry::Never),
        user_id: user.id.to_string(),
        scopes: args.scopes,
        allowed_cidrs: args.cidrs,
    };
    let created = local.run(async |app, caller| app.create_token(caller, request).await)?;
    let (text, token) = (created.text, created.token);
    if args.output.json {
        let (token, metadata) = (text.expose(), TokenAnswer::from(&token));
        return Ok(output::json(&CreatedAnswer { token, metadata })?);
    }
    output::line(text.expose())?;
    let expires = relative_time::show_expiry(token.expire_time, SystemClock.now());
    output::hint(&format!(
        "Keep it now: it is not shown again. It is the token {} of {}; it expires: {expires}.",
        token.id, user.username
    ));
    Ok(())
}
