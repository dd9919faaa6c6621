//! Candidates from the server or database that the command line names.
//!
//! An admin's reads of what is not its own are in the audit log, these too: the user agent shows that it was a
//! completion. What the caller may not read is not requested, so that no refusal is in the audit log.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    sync::mpsc,
    thread,
    time::Instant,
};

use clap::Arg;
use clap_complete::CompletionCandidate;

use crate::{
    config::target::TargetArgs,
    domain::{
        audit_action,
        id::TokenId,
        page::MAX_PAGE_SIZE,
        scope::{OwnScope, ScopeSet},
        user::Username,
    },
    proto::hallpass::v1::{
        GetCurrentUserRequest, GetCurrentUserResponse, ListAllTokensRequest, ListTokensRequest,
        ListUsersRequest, ServerRole, Token, UserType,
    },
};

use super::super::{
    client::{Client, Session},
    failure::Failure,
    output, user_view,
};

/// No shell shows more at once.
const MAX_CANDIDATES: usize = 100;
/// How many pages are searched for them, newest first.
const MAX_PAGES: usize = 4;
/// The tokens of so many of a person's machines are candidates.
const MAX_MACHINES: usize = 10;

/// What a value of an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    User,
    Person,
    Machine,
    Token,
    Scope,
    Action,
}

impl ValueKind {
    /// By the name of the value, as help shows it.
    pub(super) fn of(arg: &Arg) -> Option<Self> {
        let name = arg.get_value_names()?.first()?;
        let is_owner = arg.get_id() == "owner";
        name.split('|').find_map(|name| match name {
            "USER" if !is_owner => Some(Self::User),
            "USER" | "OWNER" => Some(Self::Person),
            "MACHINE" => Some(Self::Machine),
            "TOKEN_ID" | "ID" => Some(Self::Token),
            "SCOPE" => Some(Self::Scope),
            "ACTION" => Some(Self::Action),
            _ => None,
        })
    }
}

/// A value, and its description.
type Candidate = (String, String);

/// A completion of an unfinished command line.
#[derive(Debug)]
pub(super) struct Completion {
    /// The line, from the program's name on.
    pub(super) words: Vec<OsString>,
    /// When to give up.
    pub(super) deadline: Instant,
}

impl Completion {
    /// The candidates for a word; none, if they cannot be had in time.
    pub(super) fn candidates(&self, kind: ValueKind, current: &OsStr) -> Vec<CompletionCandidate> {
        let Some(current) = current.to_str() else {
            return vec![];
        };
        let plain = |text: &str| (text.to_owned(), String::new());
        let known: Vec<_> = match kind {
            ValueKind::Scope => OwnScope::ALL
                .iter()
                .map(|own| plain(own.as_str()))
                .collect(),
            ValueKind::Action => audit_action::groups()
                .chain(audit_action::ACTIONS)
                .map(plain)
                .collect(),
            _ => vec![],
        };
        let mut seen = BTreeSet::new();
        let found = self.fetch_in_time(kind, current).into_iter().chain(known);
        found
            .filter(|(value, _)| value.starts_with(current) && seen.insert(value.clone()))
            .take(MAX_CANDIDATES)
            .map(|(value, help)| {
                let help = output::safe(&help);
                let help = (!help.is_empty()).then(|| help.into());
                CompletionCandidate::new(value).help(help)
            })
            .collect()
    }

    /// On a thread that is abandoned when it takes too long: opening a database cannot be cancelled.
    fn fetch_in_time(&self, kind: ValueKind, current: &str) -> Vec<Candidate> {
        let target = TargetArgs::of_unfinished(&self.words);
        let (Some(target), false) = (target, kind == ValueKind::Action) else {
            return vec![];
        };
        let (sender, receiver) = mpsc::channel();
        let current = current.to_owned();
        let fetch_all = move || {
            let found = Client::new(&target).and_then(|client| {
                client
                    .for_completion()
                    .run(async |session| fetch(session, kind, &current).await)
            });
            // The deadline may have passed.
            drop(sender.send(found.unwrap_or_default()));
        };
        if thread::Builder::new().spawn(fetch_all).is_err() {
            return vec![];
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        receiver.recv_timeout(left).unwrap_or_default()
    }
}

async fn fetch(
    session: &mut Session,
    kind: ValueKind,
    current: &str,
) -> Result<Vec<Candidate>, Failure> {
    let access = Access::of(&session.call(&GetCurrentUserRequest {}).await?);
    match kind {
        ValueKind::User if access.users => users(session, current, &[]).await,
        ValueKind::Person if access.users => users(session, current, &[UserType::Personal]).await,
        ValueKind::Machine if access.users => users(session, current, &[UserType::Machine]).await,
        ValueKind::Action | ValueKind::User | ValueKind::Person | ValueKind::Machine => Ok(vec![]),
        ValueKind::Token => {
            let tokens = tokens(session, access, |token| token.id.starts_with(current)).await?;
            let tokens = tokens
                .into_iter()
                .filter(|(token, _)| TokenId::parse(&token.id).is_some());
            Ok(tokens
                .map(|(token, username)| {
                    let help = [username, token.note]
                        .into_iter()
                        .filter(|text| !text.is_empty());
                    (token.id, help.collect::<Vec<_>>().join(": "))
                })
                .collect())
        }
        ValueKind::Scope => {
            let is_one = |scope: &String| ScopeSet::parse([&**scope]).is_ok();
            let has_one =
                |token: &Token| token.scopes.iter().any(|scope| scope.starts_with(current));
            let tokens = tokens(session, access, has_one).await?;
            let scopes = tokens.into_iter().flat_map(|(token, _)| token.scopes);
            let scopes: BTreeSet<_> = scopes.filter(is_one).collect();
            Ok(scopes
                .into_iter()
                .map(|scope| (scope, String::new()))
                .collect())
        }
    }
}

/// What the caller may read.
#[derive(Clone, Copy)]
struct Access {
    users: bool,
    tokens: bool,
    all: bool,
}

impl Access {
    fn of(caller: &GetCurrentUserResponse) -> Self {
        let scopes = caller
            .token
            .as_ref()
            .map(|token| &token.scopes[..])
            .unwrap_or_default();
        let has =
            |scope: OwnScope| scopes.is_empty() || scopes.iter().any(|one| one == scope.as_str());
        let is_admin = caller
            .user
            .as_ref()
            .is_none_or(|user| user.role() == ServerRole::Admin);
        Self {
            users: has(OwnScope::UsersRead),
            tokens: has(OwnScope::TokensRead),
            all: is_admin && has(OwnScope::Admin),
        }
    }
}

/// The users that the caller may see.
async fn users(
    session: &mut Session,
    current: &str,
    types: &[UserType],
) -> Result<Vec<Candidate>, Failure> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    for _ in 0..MAX_PAGES {
        let request = ListUsersRequest {
            page_size: MAX_PAGE_SIZE,
            page_token,
            reverse: true,
            user_type_filters: types.iter().map(|kind| (*kind).into()).collect(),
            ..ListUsersRequest::default()
        };
        let page = session.call(&request).await?;
        let users = page.users.into_iter();
        let users = users.filter(|user| user.username.starts_with(current));
        // Even a malicious server puts nothing but a name on somebody's command line.
        let users = users.filter(|user| Username::parse(&user.username).is_ok());
        found.extend(users.map(|user| {
            let kind = user_view::kind(&user);
            let help = match &*user.description {
                "" => kind.to_owned(),
                description => format!("{kind}: {description}"),
            };
            (user.username, help)
        }));
        if page.next_page_token.is_empty() || found.len() >= MAX_CANDIDATES {
            break;
        }
        page_token = page.next_page_token;
    }
    found.sort();
    Ok(found)
}

/// All tokens, or the caller's own and those of its machines, with their users' names.
async fn tokens(
    session: &mut Session,
    access: Access,
    is_wanted: impl Fn(&Token) -> bool,
) -> Result<Vec<(Token, String)>, Failure> {
    if !access.tokens {
        return Ok(vec![]);
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    if access.all {
        for _ in 0..MAX_PAGES {
            let request = ListAllTokensRequest {
                filter: None,
                page_size: MAX_PAGE_SIZE,
                page_token,
                reverse: true,
            };
            let page = session.call(&request).await?;
            let tokens = page.tokens.into_iter().filter(&is_wanted);
            found.extend(tokens.map(|token| {
                let username = page.usernames.get(&token.user_id);
                let username = username.unwrap_or(&token.user_id).clone();
                (token, username)
            }));
            if page.next_page_token.is_empty() || found.len() >= MAX_CANDIDATES {
                break;
            }
            page_token = page.next_page_token;
        }
        return Ok(found);
    }
    let mut of = vec![(String::new(), String::new())];
    if access.users {
        let request = ListUsersRequest {
            page_size: u32::try_from(MAX_MACHINES).unwrap_or(MAX_PAGE_SIZE),
            user_type_filters: vec![UserType::Machine.into()],
            reverse: true,
            ..ListUsersRequest::default()
        };
        let machines = session.call(&request).await?.users.into_iter();
        of.extend(machines.map(|machine| (machine.id, machine.username)));
    }
    for (user_id, username) in of {
        let request = ListTokensRequest {
            page_size: MAX_PAGE_SIZE,
            reverse: true,
            user_id,
            ..ListTokensRequest::default()
        };
        let tokens = session.call(&request).await?.tokens.into_iter();
        let tokens = tokens.filter(&is_wanted);
        found.extend(tokens.map(|token| (token, username.clone())));
    }
    Ok(found)
}
