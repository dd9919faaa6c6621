//! How a command reaches the services. A command that works on data calls the same RPCs as any other client, so it can
//! do locally what it can do remotely, under the same rules.
//!
//! The target is a server over HTTP, a server's control socket, or a database. If a server owns the database, its
//! socket is used. Otherwise the command locks the database itself and serves the RPCs to itself over a pipe in
//! memory. The lock is held for one [`Client::run`], which therefore never prompts, walks no files and prints nothing.
//!
//! All three speak Connect over HTTP/1.1, which passes through every reverse proxy. hyper's client accepts any stream.

mod call;
mod connection;
mod procedures;
pub(super) mod tls;
mod users;

use std::{
    path::{self, PathBuf},
    process,
    sync::Arc,
    time::Duration,
};

use prost::{Message, Name};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls::ClientConfig;

use super::{
    failure::{self, Failure},
    output::{self, ListOutputArgs},
};
use crate::{
    config::{
        client_tls::ClientTls,
        server_address::ServerAddress,
        target::{TargetArgs, TokenError, TokenSource, Why},
    },
    domain::{page::MAX_PAGE_SIZE, secret::Secret},
    store::{EngineOptions, OpenAs, SqliteOptions, StoreOptions},
};

pub(super) use call::Session;
use connection::Connection;
pub(super) use procedures::{ServerStream, Unary};

/// How long a command waits for a database that another process has locked.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The largest `--limit` of a list.
pub(super) const MAX_LIMIT: usize = 1_000_000_000;

const USER_AGENT: &str = concat!("hallpass/", env!("CARGO_PKG_VERSION"));
/// Marks the reads of shell completion in the audit log.
const COMPLETION_USER_AGENT: &str =
    concat!("hallpass/", env!("CARGO_PKG_VERSION"), " (completion)");

/// Calls the RPCs of the command's target.
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
        /// `None`: it is not spoken.
        tls: Option<Arc<ClientConfig>>,
    },
    Socket(PathBuf),
    Database(StoreOptions),
}

impl Target {
    fn http(
        address: ServerAddress,
        bearer: Option<Secret>,
        tls: &ClientTls,
    ) -> Result<Self, Failure> {
        let tls = match address {
            ServerAddress::Http { tls: true, .. } => Some(Arc::new(tls::config(tls)?)),
            _ => None,
        };
        Ok(Self::Http {
            address,
            bearer,
            tls,
        })
    }
}

impl Client {
    /// A client of the target that the arguments choose. Nothing is opened yet.
    ///
    /// # Errors
    /// The target is a server over HTTP, and there is no token for it.
    pub(super) fn new(args: &TargetArgs) -> Result<Self, Failure> {
        let client = Self::with_any_token(args)?;
        match &client.target {
            Target::Http {
                address, bearer, ..
            } if bearer.is_none() => Err(TokenError::Missing(address.clone()).into()),
            _ => Ok(client),
        }
    }

    /// The same for calls that need no token.
    pub(super) fn with_any_token(args: &TargetArgs) -> Result<Self, Failure> {
        let chosen = args.choose()?;
        let mut token_source = None;
        let target = match &chosen.server {
            Some(ServerAddress::Unix(path)) => Target::Socket(path.clone()),
            Some(address) => {
                let (bearer, source) = args.token(&chosen)?.unzip();
                token_source = source;
                Target::http(address.clone(), bearer, &args.client_tls(&chosen)?)?
            }
            None => Target::Database(StoreOptions {
                on_fatal: failure::end,
                // `connection` does the waiting, since a server that has just locked it is reached by its socket.
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
        tls: &ClientTls,
    ) -> Result<Self, Failure> {
        let target = Target::http(address, bearer, tls)?;
        Self::of(target, Why::ServerFlag, None)
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

    /// Why this target was chosen.
    pub(super) const fn why(&self) -> Why {
        self.why
    }

    /// Where its token comes from; `None` if it sends none.
    pub(super) const fn token_source(&self) -> Option<TokenSource> {
        self.token_source
    }

    /// Whether the target is a server over HTTP, which knows callers only by their tokens.
    pub(super) const fn is_remote(&self) -> bool {
        matches!(self.target, Target::Http { .. })
    }

    /// This client without its token.
    pub(super) fn without_token(mut self) -> Self {
        if let Target::Http { bearer, .. } = &mut self.target {
            *bearer = None;
        }
        self
    }

    /// This client for shell completion: it does not wait for a lock, and stays silent if the database fails.
    pub(super) fn for_completion(mut self) -> Self {
        self.lock_wait = Duration::ZERO;
        self.user_agent = COMPLETION_USER_AGENT;
        if let Target::Database(options) = &mut self.target {
            options.on_fatal = |_| process::exit(0);
        }
        self
    }

    /// The target's name in messages.
    pub(super) fn name(&self) -> String {
        match &self.target {
            Target::Http { address, .. } => address.to_string(),
            Target::Socket(path) => format!("unix:{}", path.display()),
            Target::Database(options) => {
                let EngineOptions::Sqlite(SqliteOptions { path, .. }) = &options.engine;
                let path = path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("sqlite:{}", path.display())
            }
        }
    }

    /// Makes calls on one connection, one after the other.
    pub(super) fn run<T>(
        &self,
        calls: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.run_at(Some(self.lock_wait), calls)
    }

    /// Makes one call to a running server, and never opens a database.
    pub(super) fn call_running<C: Unary>(&self, request: &C) -> Result<C::Reply, Failure> {
        self.run_at(None, async |session| session.call(request).await)
    }

    /// Makes one call of a stream to a running server, which may go on for ever if something comes often enough.
    pub(super) fn follow<C: ServerStream>(
        &self,
        silence: Duration,
        request: &C,
        take: impl FnMut(C::Reply) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.run_at(None, async |session| {
            session.stream_within(silence, request, take).await
        })
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

    /// Makes one call.
    pub(super) fn call<C: Unary>(&self, request: &C) -> Result<C::Reply, Failure> {
        self.run(async |session| session.call(request).await)
    }

    /// Gets a list page by page, at most `limit` entries. With `--jsonl` it prints each page as it arrives and returns
    /// `None`. Each of these pages is a [`run`](Self::run) of its own, so that a slow reader keeps no database locked.
    pub(super) fn list<M: Message + Name>(
        &self,
        output: ListOutputArgs,
        limit: Option<usize>,
        mut get: impl AsyncFnMut(&mut Session, Page) -> Result<(Vec<M>, String), Failure>,
    ) -> Result<Option<Vec<M>>, Failure> {
        let mut pages = Pages::new(limit);
        if output.jsonl {
            while let Some(page) = pages.next() {
                let got = self.run(async |session| get(session, page).await);
                let (entries, next_token) = got?;
                output::json_lines(&entries)?;
                pages.arrived(entries.len(), next_token);
            }
            return Ok(None);
        }
        let all = self.run(async |session| {
            let mut all = Vec::new();
            while let Some(page) = pages.next() {
                let (entries, next_token) = get(session, page).await?;
                pages.arrived(entries.len(), next_token);
                all.extend(entries);
            }
            Ok(all)
        });
        all.map(Some)
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

/// A page of a list to ask for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) size: u32,
    pub(super) token: String,
}

/// The pages of a list, as far as they are known.
struct Pages {
    /// How many entries are still wanted.
    left: usize,
    /// The token of the next page; `None` after the last one.
    next_token: Option<String>,
}

impl Pages {
    fn new(limit: Option<usize>) -> Self {
        Self {
            left: limit.unwrap_or(usize::MAX),
            next_token: Some(String::new()),
        }
    }

    fn next(&mut self) -> Option<Page> {
        let wanted = u32::try_from(self.left).unwrap_or(MAX_PAGE_SIZE);
        let size = wanted.min(MAX_PAGE_SIZE);
        if size == 0 {
            return None;
        }
        let token = self.next_token.take()?;
        Some(Page { size, token })
    }

    fn arrived(&mut self, entries: usize, next_token: String) {
        self.left = self.left.saturating_sub(entries);
        self.next_token = Some(next_token).filter(|token| !token.is_empty());
    }
}
