//! `hallpass token list`.

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
    },
    proto::hallpass::v1::{
        CountAllTokensRequest, ListAllTokensRequest, ListTokensRequest, ListTokensResponse, Token,
    },
};

use super::{
    super::{
        client::{Client, Session},
        failure::Failure,
        output::{self, OutputArgs, or_dash},
        relative_time,
    },
    last_used,
    selection::SelectionArgs,
    state,
};

/// `token list`.
#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// Whose: a name or an ID.
    #[arg(value_name = "USER", required_unless_present = "all")]
    whose: Option<String>,
    /// List the tokens of all users that are not deleted, expired ones included.
    #[arg(long, conflicts_with = "whose")]
    all: bool,
    /// Only count them, by state.
    #[arg(long, requires = "all", conflicts_with_all = ["reverse", "limit"])]
    count: bool,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    /// At most so many tokens. Not set: all.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token list`.
pub(super) fn run(args: &List) -> Result<(), Failure> {
    if !args.all && args.selection.is_given(SystemClock.now()) {
        return Err(Failure::usage(
            "give --all: the flags that select tokens go with it",
        ));
    }
    let client = Client::new(&args.target)?;
    if args.count {
        return count(args, &client);
    }
    let tokens = client.run(async |session| match &args.whose {
        Some(user) => list_of(session, args, user).await,
        None => list_all(session, args).await,
    })?;
    if args.output.json {
        // The answer of ListAllTokens is the same.
        let next_page_token = String::new();
        output::reply(&ListTokensResponse {
            tokens,
            next_page_token,
        })?;
    } else if args.all {
        table_of_all(&tokens)?;
    } else {
        table(&tokens)?;
    }
    Ok(())
}

async fn list_of(session: &mut Session, args: &List, user: &str) -> Result<Vec<Token>, Failure> {
    let user_id = session.find_user(user).await?.id;
    let limit = args.limit.unwrap_or(usize::MAX);
    session
        .all_pages(limit, async |session, page_size, page_token| {
            let request = ListTokensRequest {
                page_size,
                page_token,
                reverse: args.reverse,
                user_id: user_id.clone(),
            };
            let page = session.call(&request).await?;
            Ok((page.tokens, page.next_page_token))
        })
        .await
}

async fn list_all(session: &mut Session, args: &List) -> Result<Vec<Token>, Failure> {
    let filter = args.selection.read(session, SystemClock.now()).await?;
    let limit = args.limit.unwrap_or(usize::MAX);
    session
        .all_pages(limit, async |session, page_size, page_token| {
            let request = ListAllTokensRequest {
                filter: Some(filter.clone()),
                page_size,
                page_token,
                reverse: args.reverse,
            };
            let page = session.call(&request).await?;
            Ok((page.tokens, page.next_page_token))
        })
        .await
}

fn count(args: &List, client: &Client) -> Result<(), Failure> {
    let counts = client.run(async |session| {
        let filter = args.selection.read(session, SystemClock.now()).await?;
        let filter = Some(filter);
        session.call(&CountAllTokensRequest { filter }).await
    })?;
    if args.output.json {
        return Ok(output::reply(&counts)?);
    }
    Ok(output::fields([
        ("Live", counts.live_count.to_string()),
        ("Disabled", counts.disabled_count.to_string()),
        ("Expired", counts.expired_count.to_string()),
    ])?)
}

fn table(tokens: &[Token]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = tokens.iter().map(|token| row(token, now)).collect();
    let header = [
        "ID",
        "CREATED",
        "EXPIRES",
        "LAST USED",
        "STATE",
        "SCOPES",
        "NOTE",
    ];
    Ok(output::table(header, rows)?)
}

/// The same with whose they are.
pub(super) fn table_of_all(tokens: &[Token]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = tokens.iter().map(|token| {
        let user = token.user_id.clone();
        let [id, created, expires, used, state, scopes, note] = row(token, now);
        [id, user, created, expires, used, state, scopes, note]
    });
    let header = [
        "ID",
        "USER",
        "CREATED",
        "EXPIRES",
        "LAST USED",
        "STATE",
        "SCOPES",
        "NOTE",
    ];
    Ok(output::table(header, rows.collect())?)
}

fn row(token: &Token, now: Timestamp) -> [String; 7] {
    [
        token.id.clone(),
        relative_time::show(relative_time::of(token.create_time), now),
        relative_time::show_expiry(token.expire_time, now),
        last_used(token, now),
        state(token, now).to_owned(),
        or_dash(token.scopes.join(" ")),
        token.note.clone(),
    ]
}
