//! The use cases: what Hallpass does for a caller. One use case is one method of [`App`] is one transaction,
//! its audit row included. Every way in (RPCs, web endpoints) calls these and nothing below them,
//! so a rule cannot be in force on one way and not on another. Nothing here knows a protocol or a driver.

pub mod audit;
mod authenticate;
pub mod authz;
pub mod bootstrap;
pub mod caller;
mod census;
mod credential;
pub mod error;
pub mod explain;
mod jobs;
mod known_networks;
mod pace;
pub mod page;
pub mod passwords;
mod policies;
mod purge;
mod refusals;
mod reuse;
mod shards;
pub mod status;
mod ticks;
mod token_rate;
pub mod tokens;
pub mod usage;
pub mod users;
pub mod verify;

pub use error::Error;

use std::{fmt, num::NonZero, path::PathBuf, sync::Arc, time::Duration};

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

use authz::{Action, Relation};
use caller::{Caller, CallerInTx};
use census::Census;
use credential::Memory;
use known_networks::NewNetworks;
use passwords::{Hasher, HasherOptions, Throttle, ThrottleLimits};
use purge::ClockWord;
use refusals::Refusals;
use reuse::Reuse;
use token_rate::TokenRate;
use usage::Usage;

/// What the use cases are told by the settings.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// How new tokens begin.
    pub token_prefix: TokenPrefix,
    /// How long the tokens of people live.
    pub people: LifetimePolicy,
    /// How long the tokens of machines live.
    pub machines: LifetimePolicy,
    /// Whether only those who sign in may make tokens.
    pub forbid_token_children: bool,
    /// Whether the use of a rotated secret disables its family.
    pub disable_family_on_reuse: bool,
    /// How often a token may be verified, at once and a minute; `None`: there is no limit.
    pub token_requests_per_minute: Option<NonZero<u32>>,
    /// How many live tokens a user may have, and how many live children a token.
    pub max_tokens_per_user: u32,
    /// How long expired and deleted tokens are kept.
    pub retention: Duration,
    /// How passwords are hashed.
    pub passwords: HasherOptions,
    /// Where the first admin's password is written where none is given.
    pub initial_password_file: PathBuf,
    /// Use that file although a group that the process is in may read it.
    pub allow_open_permissions: bool,
    /// Where it is counted what happens.
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
            passwords: HasherOptions::default(),
            initial_password_file: PathBuf::from("initial-admin-password"),
            allow_open_permissions: false,
            metrics: Metrics::default(),
        }
    }
}

impl AppOptions {
    /// How long a token of `user` lives.
    fn lifetime_of(&self, user: &User) -> LifetimePolicy {
        match user.kind {
            UserKind::Person => self.people,
            UserKind::Machine { .. } => self.machines,
        }
    }
}

/// The application. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    options: AppOptions,
    page_key: PageKey,
    hasher: Hasher,
    throttle: Throttle,
    refusals: Refusals,
    new_networks: NewNetworks,
    reuse: Reuse,
    census: Census,
    credentials: Memory,
    token_rate: TokenRate,
    usage: Usage,
    clock_word: ClockWord,
}

impl App {
    /// Makes the application on an open store.
    pub async fn start(db: Db, clock: Arc<dyn Clock>, options: AppOptions) -> Result<Self, Error> {
        let page_key = db.read(|tx| Ok::<_, Error>(meta::page_key(tx)?)).await?;
        let hasher =
            Hasher::start(&options.passwords).map_err(|error| Error::Internal(Box::new(error)))?;
        let throttle = Throttle::new(&ThrottleLimits::default());
        let token_rate = TokenRate::new(options.token_requests_per_minute);
        let usage = Usage::new(clock.now());
        let app = Self(Arc::new(Inner {
            db,
            clock,
            options,
            page_key,
            hasher,
            throttle,
            refusals: Refusals::default(),
            new_networks: NewNetworks::default(),
            reuse: Reuse::default(),
            census: Census::default(),
            credentials: Memory::default(),
            token_rate,
            usage,
            clock_word: ClockWord::default(),
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

    /// Makes it for a process that owns the database for a few calls: by the policies of the last server.
    pub async fn embedded(db: Db, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let options = policies::stored(&db).await?.unwrap_or_default();
        Self::start(db, clock, options).await
    }

    /// Whether the disk is full, so that tokens are checked and revoked and nothing else is written.
    pub fn disk_is_full(&self) -> bool {
        self.0.db.disk_is_full()
    }

    /// Looks through the whole database, and says what is wrong with it.
    pub async fn check_data(&self, caller: &Caller) -> Result<Vec<String>, Error> {
        authz::may(caller, Action::CheckData, Relation::OtherPerson)?;
        self.record_read(caller, Action::CheckData, Relation::OtherPerson, "")
            .await?;
        let findings = self.0.db.check().await?;
        // That has taken its time.
        authz::may(
            &self.look_again(caller).await?,
            Action::CheckData,
            Relation::OtherPerson,
        )?;
        Ok(findings)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What is counted.
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

    /// Reads for a caller, which is looked at in the very transaction that reads.
    async fn read_as<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Tx<'_>, &CallerInTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (app, caller) = (self.clone(), caller.clone());
        self.read(move |tx| {
            let caller = caller.refresh_to_read(tx, &app.0.db, app.now())?;
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

    /// For what decides on a credential: see [`Db::look_up`].
    async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.db.look_up(work).await
    }

    /// For what takes away access: it is written on a full disk, too. See [`Db::revoke`].
    async fn revoke<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.db.revoke(work).await
    }

    async fn write<T: Send + 'static>(
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
