//! `hallpass whoami`: who the caller is to the server.

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{GetCurrentUserRequest, GetCurrentUserResponse},
};

use super::{
    client::Client,
    failure::Failure,
    output::{self, OutputArgs, or_dash},
    relative_time, user_view,
};

#[derive(Args, Debug)]
pub(super) struct Whoami {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &Whoami) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let caller = client.call(&GetCurrentUserRequest {})?;
    if args.output.json {
        return Ok(output::reply(&caller)?);
    }
    Ok(output::fields(describe(&client, caller))?)
}

fn describe(client: &Client, caller: GetCurrentUserResponse) -> Vec<(&'static str, String)> {
    let mut fields = vec![("Server", client.name())];
    let Some(user) = caller.user else {
        fields.extend([
            ("User", caller.actor),
            (
                "Type",
                "a process on the server's machine, not a user".to_owned(),
            ),
            ("Role", "may do anything".to_owned()),
            ("Token", "not needed".to_owned()),
        ]);
        return fields;
    };
    fields.extend([
        ("User", format!("{} ({})", user.username, user.id)),
        ("Type", user_view::kind(&user).to_owned()),
        ("Role", user_view::role(&user).to_owned()),
    ]);
    let Some(token) = caller.token else {
        return fields;
    };
    let source = client.token_source();
    let source = source.map(|source| format!(", {source}"));
    let (now, scopes) = (SystemClock.now(), token.scopes.join(" "));
    fields.extend([
        (
            "Token",
            format!("{}{}", token.id, source.unwrap_or_default()),
        ),
        (
            "Scopes",
            if scopes.is_empty() {
                "all that the user may do".to_owned()
            } else {
                scopes
            },
        ),
        ("Networks", or_dash(token.allowed_cidrs.join(" "))),
        (
            "Expires",
            relative_time::show_expiry(token.expire_time, now),
        ),
    ]);
    fields
}
