//! The use cases: what Hallpass does for a caller. Each use case is one method of [`App`] and one transaction,
//! its audit row included. RPCs and web endpoints call these methods and nothing below them, so a rule that holds
//! for one holds for all. Nothing here knows a protocol or a database driver.

pub mod audit;
pub mod audit_sink;
pub mod audit_stream;
mod authenticate;
pub mod authz;
pub mod background;
pub mod backup;
pub mod bootstrap;
mod bootstrap_token;
pub mod caller;
mod credential;
mod credential_cache;
pub mod error;
pub mod explain;
mod explanation_text;
pub mod limits;
pub mod page;
pub mod passwords;
mod permit;
mod policies;
mod reuse;
mod secret_file;
pub mod shared;
pub mod status;
pub mod tokens;
pub mod users;
pub mod verify;

pub use error::Error;

use std::{fmt, num::NonZero, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    domain::{
        clock::Clock,
        lifetime::LifetimePolicy,
        page::PageKey,
        time::Timestamp,
        token_text::TokenPrefix,
        user::{User, UserKind},
    },
    metrics::Metrics,
    store::{Db, Tx, meta},
};

use audit_sink::{AuditSink, SinkOptions};
use audit_stream::Followers;
use authz::{Action, Relation};
use background::{AuditReaders, ClockConfirmation, TokenStats};
use bootstrap::BootstrapToken;
use caller::Caller;
use credential_cache::CredentialCache;
use passwords::{Hasher, HasherOptions};
use permit::CallerInTx;
use reuse::ReuseDetector;
use shared::SharedState;

/// The settings of the use cases.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Prefix of new tokens.
    pub token_prefix: TokenPrefix,
    /// Lifetime limits for the tokens of people.
    pub people: LifetimePolicy,
    /// Lifetime limits for the tokens of machine users.
    pub machines: LifetimePolicy,
    /// Forbids creating tokens with a token: callers must sign in.
    pub forbid_token_children: bool,
    /// Whether using a rotated secret disables the whole token family.
    pub disable_family_on_reuse: bool,
    /// How many times a minute each token may be verified, which is also the allowed burst; `None`: no limit.
    pub token_requests_per_minute: Option<NonZero<u32>>,
    /// Maximum number of live tokens per user, and of live children per token.
    pub max_tokens_per_user: u32,
    /// How long expired and deleted tokens are kept before they are purged.
    pub retention: Duration,
    /// How long rows of the audit log are kept before they are purged; `None`: for ever.
    pub audit_retention: Option<Duration>,
    /// A second place for audit rows; `None`: there is none.
    pub audit_sink: Option<SinkOptions>,
    /// How passwords are hashed.
    pub passwords: HasherOptions,
    /// File for the first admin's random password, used when no password is given.
    pub initial_password_file: PathBuf,
    /// The token that the first start creates, if it is to create one.
    pub bootstrap_token: Option<BootstrapToken>,
    /// Accepts the files of the first start even if one of the process's groups may read them.
    pub allow_open_permissions: bool,
    /// The metrics that the use cases count into.
    pub metrics: Metrics,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            token_prefix: TokenPrefix::default(),
            people: LifetimePolicy::default(),
            machines: LifetimePolicy::default(),
            forbid_token_children: false,
            disable_family_on_reuse: false,
            token_requests_per_minute: None,
            max_tokens_per_user: 500,
            retention: Duration::from_hours(90 * 24),
            audit_retention: None,
            audit_sink: None,
            passwords: HasherOptions::default(),
            initial_password_file: PathBuf::from("initial-admin-password"),
            bootstrap_token: None,
            allow_open_permissions: false,
            metrics: Metrics::default(),
        }
    }
}

impl AppOptions {
    fn lifetime_of(&self, user: &User) -> LifetimePolicy {
        match user.kind {
            UserKind::Person => self.people,
            UserKind::Machine { .. } => self.machines,
        }
    }
}

/// The application, with a method for each use case. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    options: AppOptions,
    page_key: PageKey,
    hasher: Hasher,
    shared: Arc<SharedState>,
    reuse: ReuseDetector,
    token_stats: TokenStats,
    credentials: CredentialCache,
    clock_confirmation: ClockConfirmation,
    /// One backup at a time.
    backups: Arc<Semaphore>,
    audit_readers: AuditReaders,
    audit_followers: Followers,
    audit_sink: Option<Arc<AuditSink>>,
}

impl App {
    /// Starts the application on an open store.
    pub async fn start(db: Db, clock: Arc<dyn Clock>, options: AppOptions) -> Result<Self, Error> {
        let shared = SharedState::new(&options, clock.now());
        Self::start_instance(db, clock, options, Arc::new(shared)).await
    }

    /// Starts one of several instances on the same database. They share `shared`.
    pub async fn start_instance(
        db: Db,
        clock: Arc<dyn Clock>,
        options: AppOptions,
        shared: Arc<SharedState>,
    ) -> Result<Self, Error> {
        let page_key = db.read(|tx| Ok::<_, Error>(meta::page_key(tx)?)).await?;
        let hasher =
            Hasher::start(&options.passwords).map_err(|error| Error::Internal(Box::new(error)))?;
        let sink = options.audit_sink.clone();
        let audit_sink =
            sink.map(|sink| Arc::new(AuditSink::new(sink, options.metrics.audit_sink())));
        let app = Self(Arc::new(Inner {
            db,
            clock,
            options,
            page_key,
            hasher,
            shared,
            reuse: ReuseDetector::default(),
            token_stats: TokenStats::default(),
            credentials: CredentialCache::default(),
            clock_confirmation: ClockConfirmation::default(),
            backups: Arc::new(Semaphore::new(1)),
            audit_readers: AuditReaders::default(),
            audit_followers: Followers::default(),
            audit_sink,
        }));
        app.load_networks().await?;
        Ok(app)
    }

    /// Whether the store answers.
    pub async fn is_ready(&self) -> bool {
        self.read(|tx| Ok::<_, Error>(meta::page_key(tx)?))
            .await
            .is_ok()
    }

    /// Starts it in a process that owns the database for a few calls only. It obeys the policies that the last
    /// server stored.
    pub async fn embedded(db: Db, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let options = policies::stored(&db).await?.unwrap_or_default();
        Self::start(db, clock, options).await
    }

    /// Whether the disk is full. Until there is room, tokens can be checked and revoked, but nothing else is written.
    pub fn disk_is_full(&self) -> bool {
        self.0.db.disk_is_full()
    }

    /// Checks the integrity of the whole database and returns what it found wrong.
    pub async fn check_data(&self, caller: &Caller) -> Result<Vec<String>, Error> {
        authz::may(caller, Action::CheckData, Relation::OtherPerson)?;
        let recorded = self
            .record_read(caller, Action::CheckData, Relation::OtherPerson, "")
            .await;
        let unrecorded = match recorded {
            // The audit log may be what is damaged, and the check is to say so.
            Err(Error::Unavailable(error)) if error.is_damaged_file() => Some(error),
            recorded => {
                recorded?;
                None
            }
        };
        let findings = self.0.db.check().await?;
        if let (Some(error), []) = (unrecorded, &*findings) {
            return Err(Error::Unavailable(error));
        }
        // The check can take minutes, and the caller may have lost its rights meanwhile.
        authz::may(
            &self.recheck(caller).await?,
            Action::CheckData,
            Relation::OtherPerson,
        )?;
        Ok(findings)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.options.metrics
    }

    fn options(&self) -> &AppOptions {
        &self.0.options
    }

    fn page_key(&self) -> &PageKey {
        &self.0.page_key
    }

    fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// Reads on behalf of a caller, whose credential is checked again in the same transaction.
    async fn read_as<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Tx<'_>, &CallerInTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (app, caller) = (self.clone(), caller.clone());
        self.read(move |tx| {
            let caller = caller.refresh(tx, app.now())?;
            work(tx, &caller)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.db.read(work).await
    }

    /// For reads that decide whether a credential is accepted; see [`Db::look_up`].
    async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.db.look_up(work).await
    }

    /// For writes that take access away: they succeed on a full disk, too. See [`Db::revoke`]. Like
    /// [`write`](Self::write), it may wait for the audit sink.
    async fn revoke<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.revoke_part(work).await?;
        self.audited().await?;
        Ok(done)
    }

    /// The same for one of several transactions, or where nobody waits for an answer.
    async fn revoke_part<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.db.revoke(work).await
    }

    /// Writes. If the audit sink is required, returns only once it has all rows: those that `work` appended, and earlier
    /// ones, so that whoever repeats a request whose answer was unavailable is not told that all is well.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.write_unanswered(work).await?;
        self.audited().await?;
        Ok(done)
    }

    /// Writes on the server's own account, where nobody waits for an answer.
    async fn write_unanswered<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.db.write(work).await
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
