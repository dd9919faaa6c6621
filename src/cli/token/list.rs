//! `hallpass token list`.

use std::collections::HashMap;

use clap::Args;
use pbjson_types::Timestamp as ProtoTimestamp;

use crate::{
    config::{number::number, target::TargetArgs},
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
    },
    proto::hallpass::v1::{
        CountAllTokensRequest, ListAllTokensRequest, ListAllTokensResponse, ListTokensRequest,
        ListTokensResponse, Token, TokenFilter,
    },
};

use super::{
    super::{
        client::{Client, MAX_LIMIT, Session},
        failure::Failure,
        output::{self, ListOutputArgs, or_dash},
        relative_time,
        table::{self, Column, text, whole},
        time_arg::{self, TimeArg},
    },
    selection::SelectionArgs,
    state,
};

/// Why there are no tokens of one's own where the kernel tells who calls.
const NO_USER: &str = "whose tokens? A process on the server's machine is none of its users: give --user NAME, or --all";

/// `token list`.
#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// Whose: a name or an ID, as with --user. Left out: one's own.
    #[arg(value_name = "USER", conflicts_with = "of_user")]
    whose: Option<String>,
    /// List the tokens of all users that are not deleted, expired ones included.
    #[arg(long, conflicts_with = "whose")]
    all: bool,
    /// Only count them, by state.
    #[arg(long, requires = "all", conflicts_with_all = ["reverse", "limit", "jsonl"])]
    count: bool,
    /// Only tokens that expire by then, soonest first: how long from now, such as 7d, a day or a time.
    #[arg(long, value_name = "WHEN", value_parser = time_arg::parse, conflicts_with = "never_expires")]
    expiring: Option<TimeArg>,
    /// Newest first, or with --expiring what expires last.
    #[arg(long)]
    reverse: bool,
    /// At most so many tokens. Not set: all.
    #[arg(long, value_name = "NUMBER", value_parser = number(1..=MAX_LIMIT))]
    limit: Option<usize>,
    #[command(flatten)]
    output: ListOutputArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token list`.
pub(super) fn run(args: &List) -> Result<(), Failure> {
    if !args.all && args.selection.is_given_beside_user(SystemClock.now()) {
        return Err(Failure::usage(
            "give --all: the flags that select tokens go with it, but for --user",
        ));
    }
    let expiring = args.expiring(SystemClock.now())?;
    let client = Client::new(&args.target)?;
    if args.count {
        return count(args, expiring, &client);
    }
    if args.output.jsonl {
        return print_lines(args, expiring, &client);
    }
    let mut usernames = HashMap::new();
    let tokens = client.run(async |session| {
        if args.all {
            return list_all(session, args, expiring, &mut usernames).await;
        }
        let user_id = whose_id(session, args, &client).await?;
        list_of(session, args, expiring, &user_id).await
    })?;
    let next_page_token = String::new();
    match (args.output.json, args.all) {
        (true, true) => output::reply(&ListAllTokensResponse {
            tokens,
            next_page_token,
            usernames,
        })?,
        (true, false) => output::reply(&ListTokensResponse {
            tokens,
            next_page_token,
        })?,
        (false, true) => print_of_all(&tokens, &usernames)?,
        (false, false) => print(&tokens)?,
    }
    Ok(())
}

impl List {
    /// By when the tokens expire that are asked for.
    fn expiring(&self, now: Timestamp) -> Result<Option<ProtoTimestamp>, Failure> {
        match self.expiring.map(|time| time.ahead_of(now)) {
            Some(time) if time <= now => Err(Failure::usage(
                "--expiring must be later than now: --all --state expired lists what has expired",
            )),
            time => Ok(time.map(relative_time::to_proto)),
        }
    }

    async fn filter(
        &self,
        session: &mut Session,
        expiring_before: Option<ProtoTimestamp>,
    ) -> Result<TokenFilter, Failure> {
        Ok(TokenFilter {
            expiring_before,
            ..self.selection.read(session, SystemClock.now()).await?
        })
    }
}

/// The ID of whose tokens are listed.
async fn whose_id(session: &mut Session, args: &List, client: &Client) -> Result<String, Failure> {
    match args.whose.as_deref().or(args.selection.user()) {
        Some(user) => Ok(session.look_up_user(user).await?.id),
        // To the server, nobody is the caller.
        None if client.is_remote() => Ok(String::new()),
        None => Err(Failure::usage(NO_USER)),
    }
}

fn print_lines(
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    client: &Client,
) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(usize::MAX);
    if !args.all {
        let user_id = client.run(async |session| whose_id(session, args, client).await)?;
        return client.print_lines(limit, async |session, page_size, page_token| {
            page_of(
                session,
                args,
                expiring_before,
                &user_id,
                page_size,
                page_token,
            )
            .await
        });
    }
    let filter = client.run(async |session| args.filter(session, expiring_before).await)?;
    client.print_lines(limit, async |session, page_size, page_token| {
        let page = page_of_all(session, args, &filter, page_size, page_token).await?;
        Ok((page.tokens, page.next_page_token))
    })
}

async fn list_of(
    session: &mut Session,
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    user_id: &str,
) -> Result<Vec<Token>, Failure> {
    let limit = args.limit.unwrap_or(usize::MAX);
    session
        .all_pages(limit, async |session, page_size, page_token| {
            page_of(
                session,
                args,
                expiring_before,
                user_id,
                page_size,
                page_token,
            )
            .await
        })
        .await
}

async fn page_of(
    session: &mut Session,
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    user_id: &str,
    page_size: u32,
    page_token: String,
) -> Result<(Vec<Token>, String), Failure> {
    let request = ListTokensRequest {
        page_size,
        page_token,
        reverse: args.reverse,
        user_id: user_id.to_owned(),
        expiring_before,
    };
    let page = session.call(&request).await?;
    Ok((page.tokens, page.next_page_token))
}

async fn list_all(
    session: &mut Session,
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    usernames: &mut HashMap<String, String>,
) -> Result<Vec<Token>, Failure> {
    let filter = args.filter(session, expiring_before).await?;
    let limit = args.limit.unwrap_or(usize::MAX);
    session
        .all_pages(limit, async |session, page_size, page_token| {
            let page = page_of_all(session, args, &filter, page_size, page_token).await?;
            usernames.extend(page.usernames);
            Ok((page.tokens, page.next_page_token))
        })
        .await
}

async fn page_of_all(
    session: &mut Session,
    args: &List,
    filter: &TokenFilter,
    page_size: u32,
    page_token: String,
) -> Result<ListAllTokensResponse, Failure> {
    let request = ListAllTokensRequest {
        filter: Some(filter.clone()),
        page_size,
        page_token,
        reverse: args.reverse,
    };
    session.call(&request).await
}

fn count(
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    client: &Client,
) -> Result<(), Failure> {
    let counts = client.run(async |session| {
        let filter = Some(args.filter(session, expiring_before).await?);
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

fn print(tokens: &[Token]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = tokens.iter().map(|token| row(token, now)).collect();
    let [id, state, used, scopes, note] = COLUMNS;
    Ok(table::print([id, state, used, scopes, note], rows)?)
}

/// The same with whose they are.
pub(super) fn print_of_all(
    tokens: &[Token],
    usernames: &HashMap<String, String>,
) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = tokens.iter().map(|token| {
        let user = usernames.get(&token.user_id).unwrap_or(&token.user_id);
        let [id, state, used, scopes, note] = row(token, now);
        [id, user.clone(), state, used, scopes, note]
    });
    let [id, state, used, scopes, note] = COLUMNS;
    let columns = [id, text("USER"), state, used, scopes, note];
    Ok(table::print(columns, rows.collect())?)
}

const COLUMNS: [Column; 5] = [
    whole("ID"),
    whole("STATE"),
    whole("LAST USED"),
    text("SCOPES"),
    text("NOTE"),
];

fn row(token: &Token, now: Timestamp) -> [String; 5] {
    let used = token
        .last_use
        .as_ref()
        .map(|last| relative_time::of(last.time));
    [
        token.id.clone(),
        state_and_end(token, now),
        used.map_or_else(
            || "never".to_owned(),
            |time| relative_time::short(time, now),
        ),
        or_dash(token.scopes.join(" ")),
        or_dash(token.note.clone()),
    ]
}

/// `live, 89d left`.
fn state_and_end(token: &Token, now: Timestamp) -> String {
    let state = state(token, now);
    let Some(end) = token.expire_time else {
        return state.to_owned();
    };
    let end = relative_time::of(Some(end));
    if end <= now {
        format!("{state} {}", relative_time::short(end, now))
    } else {
        format!(
            "{state}, {} left",
            relative_time::short_length(end.since(now))
        )
    }
}
