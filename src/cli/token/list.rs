//! `hallpass token list`.

use std::{collections::HashMap, io};

use clap::Args;
use pbjson_types::Timestamp as ProtoTimestamp;

use crate::{
    config::{target::TargetArgs, values::number},
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
        client::{Client, MAX_LIMIT, Page, Session},
        failure::Failure,
        output::{self, ListOutputArgs, or_dash},
        relative_time,
        table::{self, Column, text, whole},
        time_arg::TimeArg,
    },
    selection::SelectionArgs,
    state,
};

/// A process on the server's machine has no user of its own.
const NO_USER: &str =
    "whose tokens? Give --user NAME or --all: a command on the server's machine is not a user";

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(in crate::cli) struct List {
    /// The user's name or ID, as with --user. Default: yourself.
    #[arg(value_name = "USER", conflicts_with = "of_user")]
    user: Option<String>,
    /// List the tokens of all users that are not deleted, including expired ones.
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// Only count them, by state.
    #[arg(long, requires = "all", conflicts_with_all = ["reverse", "limit", "jsonl"])]
    count: bool,
    /// Only tokens that expire by then, soonest first: a duration from now such as 7d, a day or a time.
    #[arg(long, value_name = "WHEN", conflicts_with = "never_expires")]
    expiring: Option<TimeArg>,
    /// List expired, revoked and rotated tokens too, until they are purged.
    #[arg(long, conflicts_with_all = ["all", "expiring"])]
    include_ended: bool,
    /// Newest first, or with --expiring the latest expiry first.
    #[arg(long)]
    reverse: bool,
    /// Maximum number of tokens. Default: all.
    #[arg(long, value_name = "NUMBER", value_parser = number(1..=MAX_LIMIT))]
    limit: Option<usize>,
    #[command(flatten)]
    output: ListOutputArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &List) -> Result<(), Failure> {
    let now = SystemClock.now();
    if !args.all && args.selection.is_given_beside_user(now) {
        return Err(Failure::usage(
            "give --all: the flags that select tokens, except --user, need it",
        ));
    }
    let expiring_before = args.expiring_before(now)?;
    let client = Client::new(&args.target)?;
    match (args.all, args.count) {
        (false, _) => list_one_user(args, expiring_before, &client),
        (true, false) => list_all(args, expiring_before, &client),
        (true, true) => count(args, expiring_before, &client),
    }
}

impl List {
    fn expiring_before(&self, now: Timestamp) -> Result<Option<ProtoTimestamp>, Failure> {
        match self.expiring.map(|time| time.ahead_of(now)) {
            Some(time) if time <= now => Err(Failure::usage(
                "--expiring must be in the future: --all --state expired lists expired tokens",
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
            ..self.selection.filter(session, SystemClock.now()).await?
        })
    }
}

fn list_one_user(
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    client: &Client,
) -> Result<(), Failure> {
    let mut user_id = None;
    let get = async |session: &mut Session, page: Page| {
        let user_id = match (&user_id, args.user.as_deref().or(args.selection.user())) {
            (Some(id), _) => id,
            (None, Some(user)) => user_id.insert(session.look_up_user(user).await?.id),
            // The caller's own.
            (None, None) if client.is_remote() => user_id.insert(String::new()),
            (None, None) => return Err(Failure::usage(NO_USER)),
        };
        let request = ListTokensRequest {
            page_size: page.size,
            page_token: page.token,
            reverse: args.reverse,
            user_id: user_id.clone(),
            expiring_before,
            include_ended: args.include_ended,
        };
        let reply = session.call(&request).await?;
        Ok((reply.tokens, reply.next_page_token))
    };
    let Some(tokens) = client.list(args.output, args.limit, get)? else {
        return Ok(());
    };
    let reply = ListTokensResponse {
        tokens,
        ..ListTokensResponse::default()
    };
    Ok(args.output.print(reply, |reply| {
        let now = SystemClock.now();
        let rows = reply.tokens.iter().map(|token| row(token, now));
        let [id, state, used, scopes, note] = COLUMNS;
        table::print([id, state, used, scopes, note], rows.collect())
    })?)
}

fn list_all(
    args: &List,
    expiring_before: Option<ProtoTimestamp>,
    client: &Client,
) -> Result<(), Failure> {
    let (mut filter, mut usernames) = (None, HashMap::new());
    let get = async |session: &mut Session, page: Page| {
        if filter.is_none() {
            filter = Some(args.filter(session, expiring_before).await?);
        }
        let request = ListAllTokensRequest {
            filter: filter.clone(),
            page_size: page.size,
            page_token: page.token,
            reverse: args.reverse,
        };
        let reply = session.call(&request).await?;
        usernames.extend(reply.usernames);
        Ok((reply.tokens, reply.next_page_token))
    };
    let Some(tokens) = client.list(args.output, args.limit, get)? else {
        return Ok(());
    };
    let reply = ListAllTokensResponse {
        tokens,
        next_page_token: String::new(),
        usernames,
    };
    Ok(args.output.print(reply, |reply| {
        print_with_users(&reply.tokens, &reply.usernames)
    })?)
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
    Ok(args.output.print(counts, |counts| {
        output::fields([
            ("Active", counts.live_count.to_string()),
            ("Disabled", counts.disabled_count.to_string()),
            ("Expired", counts.expired_count.to_string()),
        ])
    })?)
}

/// Prints a table of tokens with a column for the user.
pub(super) fn print_with_users(
    tokens: &[Token],
    usernames: &HashMap<String, String>,
) -> io::Result<()> {
    let now = SystemClock.now();
    let rows = tokens.iter().map(|token| {
        let user = usernames.get(&token.user_id).unwrap_or(&token.user_id);
        let [id, state, used, scopes, note] = row(token, now);
        [id, user.clone(), state, used, scopes, note]
    });
    let [id, state, used, scopes, note] = COLUMNS;
    let columns = [id, text("USER"), state, used, scopes, note];
    table::print(columns, rows.collect())
}

const COLUMNS: [Column; 5] = [
    whole("ID"),
    whole("STATE"),
    whole("LAST USED"),
    text("SCOPES"),
    text("NOTE"),
];

fn row(token: &Token, now: Timestamp) -> [String; 5] {
    let used = token.last_use.as_ref().map_or_else(
        || "never".to_owned(),
        |last| relative_time::short(relative_time::of(last.time), now),
    );
    [
        token.id.clone(),
        state_and_end(token, now),
        used,
        or_dash(token.scopes.join(" ")),
        or_dash(token.note.clone()),
    ]
}

/// `active, 89d left` or `revoked 3h ago`.
fn state_and_end(token: &Token, now: Timestamp) -> String {
    let state = state(token, now);
    let Some(end) = token.delete_time.or(token.expire_time) else {
        return state.to_owned();
    };
    let end = relative_time::of(Some(end));
    if token.delete_time.is_some() || end <= now {
        format!("{state} {}", relative_time::short(end.min(now), now))
    } else {
        format!(
            "{state}, {} left",
            relative_time::short_length(end.since(now))
        )
    }
}
