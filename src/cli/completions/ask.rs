//! What a completion asks of the server or database that the command on the line works on.
//!
//! An admin's reads of what is not its own are on record, these too: the user agent in the log tells that it was a
//! completion. What the caller may not read is not asked for, so that no refusal is on record.

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

/// A shell shows no more at once.
const MAX_CANDIDATES: usize = 100;
/// So many pages are looked through for them, newest first.
const MAX_PAGES: usize = 4;
/// Of so many machines a person's completions show the tokens.
const MAX_MACHINES: usize = 10;

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    User,
    Person,
    Machine,
    Token,
    Scope,
    Action,
}

impl Question {
    /// By the name of the argument's value, as people see it in the help.
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

/// A value, and what to tell beside it.
type Found = (String, String);

/// A line that is not finished.
#[derive(Debug)]
pub(super) struct Asked {
    /// It, from the program's name on.
    pub(super) words: Vec<OsString>,
    /// When nobody waits any more.
    pub(super) until: Instant,
}

impl Asked {
    /// How a word may go on; nothing, where that cannot be told in time.
    pub(super) fn answer(&self, question: Question, current: &OsStr) -> Vec<CompletionCandidate> {
        let Some(current) = current.to_str() else {
            return vec![];
        };
        let plain = |text: &str| (text.to_owned(), String::new());
        let known: Vec<_> = match question {
            Question::Scope => OwnScope::ALL
                .iter()
                .map(|own| plain(own.as_str()))
                .collect(),
            Question::Action => audit_action::groups()
                .chain(audit_action::ACTIONS)
                .map(plain)
                .collect(),
            _ => vec![],
        };
        let mut seen = BTreeSet::new();
        let found = self.ask_in_time(question, current).into_iter().chain(known);
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

    /// On a thread that is left behind where it takes too long: to open a database cannot be broken off.
    fn ask_in_time(&self, question: Question, current: &str) -> Vec<Found> {
        let target = TargetArgs::of_unfinished(&self.words);
        let (Some(target), false) = (target, question == Question::Action) else {
            return vec![];
        };
        let (tell, told) = mpsc::channel();
        let current = current.to_owned();
        let ask = move || {
            let found = Client::new(&target).and_then(|client| {
                client
                    .for_completion()
                    .run(async |session| ask(session, question, &current).await)
            });
            // Nobody waits any more.
            drop(tell.send(found.unwrap_or_default()));
        };
        if thread::Builder::new().spawn(ask).is_err() {
            return vec![];
        }
        let left = self.until.saturating_duration_since(Instant::now());
        told.recv_timeout(left).unwrap_or_default()
    }
}

async fn ask(
    session: &mut Session,
    question: Question,
    current: &str,
) -> Result<Vec<Found>, Failure> {
    let may = May::of(&session.call(&GetCurrentUserRequest {}).await?);
    match question {
        Question::User if may.users => users(session, current, &[]).await,
        Question::Person if may.users => users(session, current, &[UserType::Personal]).await,
        Question::Machine if may.users => users(session, current, &[UserType::Machine]).await,
        Question::Action | Question::User | Question::Person | Question::Machine => Ok(vec![]),
        Question::Token => {
            let tokens = tokens(session, may, |token| token.id.starts_with(current)).await?;
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
        Question::Scope => {
            let is_one = |scope: &String| ScopeSet::parse([&**scope]).is_ok();
            let has_one =
                |token: &Token| token.scopes.iter().any(|scope| scope.starts_with(current));
            let tokens = tokens(session, may, has_one).await?;
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
struct May {
    users: bool,
    tokens: bool,
    all: bool,
}

impl May {
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

/// Those that the caller may see.
async fn users(
    session: &mut Session,
    current: &str,
    types: &[UserType],
) -> Result<Vec<Found>, Failure> {
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
        // A server that lies puts no more than a name on somebody's line.
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

/// Tokens of all, or the caller's own and those of its machines, with their users' names.
async fn tokens(
    session: &mut Session,
    may: May,
    is_wanted: impl Fn(&Token) -> bool,
) -> Result<Vec<(Token, String)>, Failure> {
    if !may.tokens {
        return Ok(vec![]);
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    if may.all {
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
    if may.users {
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
            page_token: String::new(),
            reverse: true,
            user_id,
            expiring_before: None,
        };
        let tokens = session.call(&request).await?.tokens.into_iter();
        let tokens = tokens.filter(&is_wanted);
        found.extend(tokens.map(|token| (token, username.clone())));
    }
    Ok(found)
}
