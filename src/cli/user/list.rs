//! `hallpass user list`.

use clap::Args;

use crate::{
    config::target::TargetArgs,
    proto::hallpass::v1::{ListUsersRequest, ListUsersResponse, User, UserState},
};

use super::super::{
    client::{Client, Session},
    failure::Failure,
    output::{self, ListOutputArgs},
    user_view,
};

/// `user list`.
#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// Only active users.
    #[arg(long, conflicts_with = "deactivated")]
    active: bool,
    /// Only deactivated users.
    #[arg(long)]
    deactivated: bool,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    output: ListOutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass user list`.
pub(super) fn run(args: &List) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let state = match (args.active, args.deactivated) {
        (true, _) => UserState::Active,
        (_, true) => UserState::Deactivated,
        _ => UserState::Unspecified,
    };
    if args.output.jsonl {
        return client.print_lines(usize::MAX, async |session, page_size, page_token| {
            page(session, args.reverse, state, page_size, page_token).await
        });
    }
    let users = client.run(async |session| all(session, args.reverse, state).await)?;
    if args.output.json {
        let next_page_token = String::new();
        return Ok(output::reply(&ListUsersResponse {
            users,
            next_page_token,
        })?);
    }
    user_view::list(&users)
}

/// All users that the caller may see.
pub(in crate::cli) async fn all(
    session: &mut Session,
    reverse: bool,
    state: UserState,
) -> Result<Vec<User>, Failure> {
    session
        .all_pages(usize::MAX, async |session, page_size, page_token| {
            page(session, reverse, state, page_size, page_token).await
        })
        .await
}

/// A page of them, and the token of the next.
pub(in crate::cli) async fn page(
    session: &mut Session,
    reverse: bool,
    state: UserState,
    page_size: u32,
    page_token: String,
) -> Result<(Vec<User>, String), Failure> {
    let request = ListUsersRequest {
        page_size,
        page_token,
        reverse,
        user_state_filter: state.into(),
        user_type_filters: Vec::new(),
    };
    let page = session.call(&request).await?;
    Ok((page.users, page.next_page_token))
}
