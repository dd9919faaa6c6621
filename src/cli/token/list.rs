//! `hallpass token list`.

use clap::Args;

use crate::{
    app::{
        AppOptions,
        tokens::{ListAllTokens, ListTokens},
    },
    config::store::StoreArgs,
    domain::{
        clock::{Clock, SystemClock},
        time::Timestamp,
        token::Token,
    },
};

use super::{
    super::{
        answer::{Answer, CountsAnswer, TokenAnswer},
        failure::Failure,
        local_app::{LocalApp, all_pages, find_user},
        output::{self, OutputArgs},
        relative_time,
    },
    last_used, or_dash,
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
    store: StoreArgs,
}

/// Runs `hallpass token list`.
pub(super) fn run(args: &List) -> Result<(), Failure> {
    if !args.all && args.selection.is_given(SystemClock.now()) {
        return Err(Failure::usage(
            "give --all: the flags that select tokens go with it",
        ));
    }
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    if args.count {
        return count(args, &local);
    }
    let limit = args.limit.unwrap_or(usize::MAX);
    let tokens = local.run(async |app, caller| {
        if let Some(user) = &args.whose {
            let user_id = find_user(app, caller, user).await?.id.to_string();
            return all_pages(args.reverse, limit, async |page| {
                let user_id = user_id.clone();
                app.list_tokens(caller, ListTokens { page, user_id }).await
            })
            .await;
        }
        let filter = args.selection.read(app, caller).await?;
        all_pages(args.reverse, limit, async |page| {
            let filter = filter.clone();
            app.list_all_tokens(caller, ListAllTokens { page, filter })
                .await
        })
        .await
    })?;
    if args.output.json {
        let tokens: Vec<_> = tokens.iter().map(TokenAnswer::from).collect();
        output::json(&Answer("tokens", tokens))?;
    } else if args.all {
        table_of_all(&tokens)?;
    } else {
        table(&tokens)?;
    }
    Ok(())
}

fn count(args: &List, local: &LocalApp) -> Result<(), Failure> {
    let counts = local.run(async |app, caller| {
        let filter = args.selection.read(app, caller).await?;
        app.count_all_tokens(caller, filter).await
    })?;
    if args.output.json {
        return Ok(output::json(&CountsAnswer {
            live: counts.live,
            disabled: counts.disabled,
            expired: counts.expired,
        })?);
    }
    Ok(output::fields([
        ("Live", counts.live.to_string()),
        ("Disabled", counts.disabled.to_string()),
        ("Expired", counts.expired.to_string()),
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
        let user = token.user_id.to_string();
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
        token.id.to_string(),
        relative_time::show(token.create_time, now),
        relative_time::show_expiry(token.expire_time, now),
        last_used(token, now),
        state(token).to_owned(),
        or_dash(token.scopes.to_string()),
        token.note.as_str().to_owned(),
    ]
}
