//! How a command reaches the services: every command that works on data is a client of the same RPCs as
//! everybody else, so what it can do here it can do from afar, and no rule is in force on one way alone.
//!
//! The target is a server over HTTP, a server's control socket, or a database. Where a server owns that
//! database, its socket is used. Else the command takes the database's lock itself, and serves the services to
//! itself through a pipe in memory. The lock is held for one [`Client::run`], which therefore never asks a
//! person anything, walks no files and prints nothing.
//!
//! All three speak unary Connect over HTTP/1.1, which goes through every reverse proxy, on hyper's own client:
//! it takes whatever stream it is handed.

mod call;
mod connection;
mod procedures;

use std::{
    path::{self, PathBuf},
    process,
    time::Duration,
};

use prost::{Message, Name};
use tokio::runtime::{Builder, Runtime};

use super::{
    failure::{self, Failure},
    output,
    usage_error::repeated,
};
use crate::{
    config::{
        server_address::ServerAddress,
        target::{TargetArgs, TokenError, TokenSource, Why},
    },
    domain::{
        id::UserId,
        page::MAX_PAGE_SIZE,
        secret::Secret,
        token_text::{TokenText, TokenTextError},
        user::Username,
    },
    proto::hallpass::v1::{
        GetUserByUsernameRequest, GetUserRequest, LookUpUserRequest, LookUpUserResponse, User,
    },
    store::{OpenAs, StoreOptions},
};

pub(super) use call::Session;
use connection::Connection;
pub(super) use procedures::{ServerStream, Unary};

/// How long a command waits for a database that another process holds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The most entries of a list that a command can be told to stop at: more than anybody reads.
pub(super) const MAX_LIMIT: usize = 1_000_000_000;

const USER_AGENT: &str = concat!("hallpass/", env!("CARGO_PKG_VERSION"));
/// What the audit log tells of a read that somebody's shell has asked for.
const COMPLETION_USER_AGENT: &str =
    concat!("hallpass/", env!("CARGO_PKG_VERSION"), " (completion)");

/// What a command calls.
pub(super) struct Client {
    runtime: Runtime,
    target: Target,
    why: Why,
    token_source: Option<TokenSource>,
    lock_wait: Duration,
    user_agent: &'static str,
}

#[derive(Debug)]
enum Target {
    Http {
        address: ServerAddress,
        bearer: Option<Secret>,
    },
    Socket(PathBuf),
    Database(StoreOptions),
}

impl Client {
    /// A client of the target that was asked for. Nothing is opened yet.
    ///
    /// # Errors
    /// A server over HTTP needs a token, and there is none.
    pub(super) fn new(args: &TargetArgs) -> Result<Self, Failure> {
        let client = Self::with_any_token(args)?;
        match &client.target {
            Target::Http { address, bearer } if bearer.is_none() => {
                Err(TokenError::Missing(address.clone()).into())
            }
            _ => Ok(client),
        }
    }

    /// The same, for calls that need no token.
    pub(super) fn with_any_token(args: &TargetArgs) -> Result<Self, Failure> {
        let chosen = args.choose()?;
        let mut token_source = None;
        let target = match &chosen.server {
            Some(ServerAddress::Unix(path)) => Target::Socket(path.clone()),
            Some(address) => {
                let (bearer, source) = args.token(&chosen)?.unzip();
                token_source = source;
                let address = address.clone();
                Target::Http { address, bearer }
            }
            None => Target::Database(StoreOptions {
                on_fatal: failure::end,
                // A server that has just taken it is found by its socket: see `connection`.
                lock_wait: Duration::ZERO,
                ..args.store.options(OpenAs::Embedded)
            }),
        };
        Self::of(target, chosen.why, token_source)
    }

    /// A client of the server at `address`.
    pub(super) fn of_server(
        address: ServerAddress,
        bearer: Option<Secret>,
    ) -> Result<Self, Failure> {
        Self::of(Target::Http { address, bearer }, Why::ServerFlag, None)
    }

    fn of(target: Target, why: Why, token_source: Option<TokenSource>) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
        Ok(Self {
            runtime,
            target,
            why,
            token_source,
            lock_wait: LOCK_WAIT,
            user_agent: USER_AGENT,
        })
    }

    /// Why it works on that target.
    pub(super) const fn why(&self) -> Why {
        self.why
    }

    /// Where the token comes from that it sends; `None`: it sends none.
    pub(super) const fn token_source(&self) -> Option<TokenSource> {
        self.token_source
    }

    /// Whether its target is a server over HTTP, which knows callers by their tokens alone.
    pub(super) const fn is_remote(&self) -> bool {
        matches!(self.target, Target::Http { .. })
    }

    /// The same without its token.
    pub(super) fn without_token(mut self) -> Self {
        if let Target::Http { bearer, .. } = &mut self.target {
            *bearer = None;
        }
        self
    }

    /// The same for a shell's completion: it waits for no lock, and a database that fails meanwhile is no matter of
    /// the shell's.
    pub(super) fn for_completion(mut self) -> Self {
        self.lock_wait = Duration::ZERO;
        self.user_agent = COMPLETION_USER_AGENT;
        if let Target::Database(options) = &mut self.target {
            options.on_fatal = |_| process::exit(0);
        }
        self
    }

    /// What the target is, for people.
    pub(super) fn name(&self) -> String {
        match &self.target {
            Target::Http { address, .. } => address.to_string(),
            Target::Socket(path) => format!("unix:{}", path.display()),
            Target::Database(options) => {
                let path = &options.path;
                let path = path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("sqlite:{}", path.display())
            }
        }
    }

    /// Runs some calls, one after the other, on one connection.
    pub(super) fn run<T>(
        &self,
        calls: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.run_at(Some(self.lock_wait), calls)
    }

    /// Runs one call on a server that runs already.
    pub(super) fn call_running<C: Unary>(&self, request: &C) -> Result<C::Reply, Failure> {
        self.run_at(None, async |session| session.call(request).await)
    }

    fn run_at<T>(
        &self,
        serve: Option<Duration>,
        calls: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(async {
            let Connection { stream, server } = connection::open(&self.target, serve).await?;
            let (name, authority_and_path) = (self.name(), self.authority_and_path());
            let is_embedded = server.is_some();
            let (bearer, user_agent) = (self.bearer(), self.user_agent);
            let mut session = Session::start(
                stream,
                name,
                &authority_and_path,
                bearer,
                user_agent,
                is_embedded,
            )
            .await?;
            let done = calls(&mut session).await;
            drop(session);
            if let Some(server) = server {
                server.end().await;
            }
            done
        })
    }

    /// Runs one call.
    pub(super) fn call<C: Unary>(&self, request: &C) -> Result<C::Reply, Failure> {
        self.run(async |session| session.call(request).await)
    }

    /// Prints all entries of a list, at most `limit`, as JSON, a line each, page by page as they come. Each page is a
    /// [`run`](Self::run) of its own, so that whoever reads slowly keeps no database from others.
    pub(super) fn print_lines<M: Message + Name>(
        &self,
        limit: usize,
        mut next: impl AsyncFnMut(&mut Session, u32, String) -> Result<(Vec<M>, String), Failure>,
    ) -> Result<(), Failure> {
        let mut pages = Pages::of(limit);
        while let Some((page_size, page_token)) = pages.next() {
            let page = async |session: &mut Session| next(session, page_size, page_token).await;
            let (entries, next_token) = self.run(page)?;
            output::json_lines(&entries)?;
            pages.came(entries.len(), next_token);
        }
        Ok(())
    }

    fn authority_and_path(&self) -> String {
        match &self.target {
            Target::Http { address, .. } => {
                let address = address.to_string();
                let rest = address.split_once("://").map(|(_, rest)| rest);
                rest.unwrap_or_default().to_owned()
            }
            Target::Socket(_) | Target::Database(_) => "localhost".to_owned(),
        }
    }

    fn bearer(&self) -> Option<&Secret> {
        match &self.target {
            Target::Http { bearer, .. } => bearer.as_ref(),
            Target::Socket(_) | Target::Database(_) => None,
        }
    }
}

/// How a person names a user. No text is both: an ID begins with a digit.
enum UserName {
    Id(String),
    Username(String),
}

impl UserName {
    /// Reads it. Text that can be neither is refused here and not sent: it may be a secret.
    fn parse(text: &str) -> Result<Self, Failure> {
        if UserId::parse(text).is_some() {
            Ok(Self::Id(text.to_owned()))
        } else if let Ok(username) = Username::parse(text) {
            Ok(Self::Username(username.as_str().to_owned()))
        } else {
            Err(no_name(text))
        }
    }
}

/// Tells which user there is none of.
fn no_such_user(failure: Failure, name: &str) -> Failure {
    if UserId::parse(name).is_none() {
        return failure.naming(name);
    }
    failure.naming(format_args!(
        "{name}; if it is a token's ID, see `hallpass token get {name}`"
    ))
}

/// Of a text that is neither a username nor a user's ID.
fn no_name(text: &str) -> Failure {
    if !matches!(TokenText::from_paste(text), Err(TokenTextError::Malformed)) {
        return Failure::usage(
            "a user's name or ID is wanted, and a token is given: nothing of it was sent",
        );
    }
    if text.trim().is_empty() {
        return Failure::usage("a user's name or ID is wanted, and an empty text is given");
    }
    Failure::failed(format!(
        "there is no such user: {}; a name is 3 to 40 of a-z, 0-9 and -, an ID 22 letters and digits",
        repeated(text)
    ))
}

impl Session {
    /// The user that a person names by username or ID.
    pub(super) async fn find_user(&mut self, name: &str) -> Result<User, Failure> {
        let user = match UserName::parse(name)? {
            UserName::Id(id) => {
                let reply = self.call(&GetUserRequest { id }).await;
                reply.map_err(|failure| no_such_user(failure, name))?.user
            }
            UserName::Username(username) => {
                let reply = self.call(&GetUserByUsernameRequest { username }).await;
                reply.map_err(|failure| no_such_user(failure, name))?.user
            }
        };
        user.ok_or_else(|| self.incomplete("user"))
    }

    /// The ID, name and type of the user that a person names by username or ID. It leaves no record, as a user's data
    /// is not read: it is for what is then done to it.
    pub(super) async fn look_up_user(&mut self, name: &str) -> Result<LookUpUserResponse, Failure> {
        let (id, username) = match UserName::parse(name)? {
            UserName::Id(id) => (id, String::new()),
            UserName::Username(username) => (String::new(), username),
        };
        let request = LookUpUserRequest {
            id,
            username,
            with_stakes: false,
        };
        let reply = self.call(&request).await;
        reply.map_err(|failure| no_such_user(failure, name))
    }

    /// The same of a user's ID, with what would break if it went.
    pub(super) async fn look_up_impact(&mut self, id: &str) -> Result<LookUpUserResponse, Failure> {
        let request = LookUpUserRequest {
            id: id.to_owned(),
            with_stakes: true,
            ..LookUpUserRequest::default()
        };
        self.call(&request).await
    }

    /// All entries of a list, page by page, at most `limit`. `next` asks for a page of some size, that begins
    /// at a page token, and answers with its entries and the next token.
    pub(super) async fn all_pages<T>(
        &mut self,
        limit: usize,
        mut next: impl AsyncFnMut(&mut Self, u32, String) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let mut pages = Pages::of(limit);
        while let Some((page_size, page_token)) = pages.next() {
            let (more, next_token) = next(self, page_size, page_token).await?;
            pages.came(more.len(), next_token);
            items.extend(more);
        }
        Ok(items)
    }
}

/// Which page of a list is next.
struct Pages {
    left: usize,
    token: Option<String>,
}

impl Pages {
    const fn of(limit: usize) -> Self {
        Self {
            left: limit,
            token: Some(String::new()),
        }
    }

    /// The size and the token of the next page.
    fn next(&mut self) -> Option<(u32, String)> {
        let wanted = u32::try_from(self.left).unwrap_or(MAX_PAGE_SIZE);
        let page_size = wanted.min(MAX_PAGE_SIZE);
        if page_size == 0 {
            return None;
        }
        Some((page_size, self.token.take()?))
    }

    fn came(&mut self, entries: usize, next_token: String) {
        self.left = self.left.saturating_sub(entries);
        self.token = Some(next_token).filter(|token| !token.is_empty());
    }
}
