//! A Hallpass server for one test, on a free port, with a store in a temporary folder. Only the
//! clock is fake, and passwords are hashed at low cost.

mod audit;
mod clock;
mod people;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hallpass::{
    app::{
        App, AppOptions,
        caller::{Caller, ClientInfo},
        passwords::HasherOptions,
    },
    domain::{clock::Clock, id::RequestId, secret::Secret, time::Timestamp},
    server::{LogRequests, Server, ServerOptions, control_socket, limits::Limits},
    store::{Db, Error, OpenAs, OpenError, StoreOptions, Tx, users},
};
use listenfd::ListenFd;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time,
};
use tokio_rustls::rustls::ClientConfig;

use crate::client::{Call, Client, Reply, Wire};

pub(crate) use self::{
    audit::{rechain, verify_audit},
    clock::{FakeClock, START, rfc3339},
    people::{ADMIN_PASSWORD, Machine, NewToken, Person, id_of, leaked, password_of},
};

/// The settings that a test may change.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) app: AppOptions,
    pub(crate) server: ServerOptions,
    /// How long the store waits for a lock of another process.
    pub(crate) busy_timeout: Duration,
    /// The number of the store's reader threads.
    pub(crate) readers: usize,
    /// Whether the store runs each write twice, to see that an engine may do so after a conflict.
    pub(crate) rerun_writes: bool,
    /// How the client speaks TLS, if the server does.
    pub(crate) tls_client: Option<ClientConfig>,
}

impl Default for Settings {
    fn default() -> Self {
        let passwords = HasherOptions {
            memory_kib: 64,
            passes: 1,
            ..HasherOptions::default()
        };
        let app = AppOptions {
            passwords,
            ..AppOptions::default()
        };
        let server = ServerOptions {
            control_socket: None,
            metrics_listen: None,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            public_url: None,
            cors_origins: vec![],
            cors_headers: vec![],
            trusted_proxies: vec![],
            log_requests: LogRequests::default(),
            // Hashing has low priority, so it may take long on a busy machine.
            limits: Limits {
                handler_timeout: Duration::from_mins(2),
                ..Limits::default()
            },
        };
        Self {
            app,
            server,
            busy_timeout: Duration::from_secs(5),
            readers: 2,
            rerun_writes: true,
            tls_client: None,
        }
    }
}

/// The caller of a local command.
pub(crate) fn local(app: &App) -> Caller {
    let origin = ClientInfo {
        request_id: RequestId::generate(app.now()),
        client_request_id: None,
        ip: None,
        user_agent: "test".to_owned(),
    };
    Caller::local(0, origin)
}

/// A running server with an admin.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) client: Client,
    pub(crate) app: App,
    /// The application's store.
    pub(crate) db: Db,
    /// The first admin.
    pub(crate) admin: Person,
    settings: Settings,
    running: Running,
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    metrics: Option<SocketAddr>,
    stop_server: oneshot::Sender<()>,
    server: JoinHandle<()>,
    stop_jobs: watch::Sender<bool>,
    jobs: JoinHandle<()>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let folder = TempDir::new().unwrap();
        settings.app.initial_password_file = folder.path().join("initial-admin-password");
        let clock = Arc::new(FakeClock::default());
        let (db, app, client, running) = launch(&folder, &clock, &settings).await;
        app.bootstrap(Some(Secret::new(ADMIN_PASSWORD.to_owned())))
            .await
            .unwrap();
        let mut this = Self {
            clock,
            client,
            app,
            db,
            admin: Person::first_admin(),
            settings,
            running,
            folder,
        };
        // Within the maximum lifetime that the test sets.
        let expires = longest(&this);
        let token = this.sign_in(&this.admin, expires).await;
        this.admin.id = token.metadata["userId"].as_str().unwrap().to_owned();
        this.admin.token = token.text;
        this
    }

    /// A server on the database in `folder`, at `time`, whose admin has `token`.
    pub(crate) async fn on(folder: TempDir, time: Timestamp, token: &str) -> Self {
        let settings = Settings::default();
        let clock = Arc::new(FakeClock::default());
        clock.set(time);
        let (db, app, client, running) = launch(&folder, &clock, &settings).await;
        let mut admin = Person::first_admin();
        token.clone_into(&mut admin.token);
        Self {
            clock,
            client,
            app,
            db,
            admin,
            settings,
            running,
            folder,
        }
    }

    /// Restarts the server on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// Restarts the server with other settings.
    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut stopped = self.stop().await;
        change(&mut stopped.settings);
        let (db, app, client, running) =
            launch(&stopped.folder, &stopped.clock, &stopped.settings).await;
        Self {
            clock: stopped.clock,
            client,
            app,
            db,
            admin: stopped.admin,
            settings: stopped.settings,
            running,
            folder: stopped.folder,
        }
    }

    /// Shuts down as a signal does: requests in flight are finished, pending writes are stored.
    pub(crate) async fn stop(self) -> Stopped {
        let running = self.running;
        running.stop_server.send(()).unwrap();
        running.server.await.unwrap();
        running.stop_jobs.send_replace(true);
        running.jobs.await.unwrap();
        Stopped {
            clock: self.clock,
            admin: self.admin,
            settings: self.settings,
            folder: self.folder,
        }
    }

    /// Stops the background jobs, for a test that counts work: once a second they may write.
    pub(crate) async fn stop_jobs(&self) {
        self.running.stop_jobs.send_replace(true);
        let ended = time::timeout(Duration::from_secs(10), async {
            while !self.running.jobs.is_finished() {
                tokio::task::yield_now().await;
            }
        });
        ended.await.expect("the jobs end when they are told to");
    }

    /// Calls a procedure over Connect JSON, with a token unless it is empty.
    pub(crate) async fn call(&self, token: &str, procedure: &str, message: Value) -> Reply {
        let call = Call::new(procedure, message);
        let call = if token.is_empty() {
            call
        } else {
            call.bearer(token)
        };
        self.client.call(Wire::CURL, call).await
    }

    /// A client of the metrics listener, if there is one.
    pub(crate) fn metrics(&self) -> Client {
        Client::new(self.running.metrics.unwrap())
    }

    /// A direct connection to the database. The server's cache does not notice changes through it.
    pub(crate) fn sql(&self) -> Connection {
        open(&self.folder)
    }

    /// Invalidates the server's cache after a direct change.
    pub(crate) async fn reread(&self) {
        let touch = |tx: &Tx<'_>| {
            let all = users::UserFilter::default();
            let first = &users::list(tx, &all, None, false, 1)?[0];
            users::update(tx, first)
        };
        self.db.write::<_, Error>(touch).await.unwrap();
    }

    /// The database's URL for commands.
    pub(crate) fn database_url(&self) -> String {
        format!("sqlite:{}", file(&self.folder).display())
    }

    /// The number of audit rows.
    pub(crate) fn audit_len(&self) -> i64 {
        self.sql()
            .query_one("SELECT count(*) FROM audit", [], |row| row.get(0))
            .unwrap()
    }

    /// Whether a token authenticates.
    pub(crate) async fn accepts(&self, token: &str) -> bool {
        let answer = self.call(token, "AuthnService/GetCurrentUser", json!({}));
        match answer.await.result {
            Ok(_) => true,
            Err(failure) if failure.code == "unauthenticated" => false,
            Err(failure) => panic!("neither accepted nor refused: {failure:?}"),
        }
    }
}

/// A server that has been shut down, with its folder.
#[derive(Debug)]
pub(crate) struct Stopped {
    clock: Arc<FakeClock>,
    admin: Person,
    settings: Settings,
    folder: TempDir,
}

impl Stopped {
    /// A direct connection to the database.
    pub(crate) fn sql(&self) -> Connection {
        open(&self.folder)
    }
}

/// The longest lifetime that the settings allow.
fn longest(app: &TestApp) -> Value {
    match app.settings.app.people.max_ttl {
        Some(ttl) => json!({ "expireTime": app.clock.after(ttl) }),
        None => json!({}),
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("hallpass.db")
}

fn open(folder: &TempDir) -> Connection {
    let connection = Connection::open(file(folder)).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

async fn launch(
    folder: &TempDir,
    clock: &Arc<FakeClock>,
    settings: &Settings,
) -> (Db, App, Client, Running) {
    let mut options = StoreOptions::sqlite(file(folder), OpenAs::Serve);
    options.busy_timeout = settings.busy_timeout;
    options.readers = settings.readers;
    options.rerun_writes = settings.rerun_writes;
    options.lock_wait = Duration::ZERO;
    // This process runs other tests, too, so it must not exit.
    options.on_fatal = |fatal| panic!("{fatal}");
    options.metrics = settings.app.metrics.store();
    let db = open_store(&options).await;
    let clock: Arc<dyn Clock> = Arc::<FakeClock>::clone(clock);
    let app = App::start(db.clone(), clock, settings.app.clone())
        .await
        .unwrap();
    let mut options = settings.server.clone();
    options
        .control_socket
        .get_or_insert_with(|| control_socket::path_of(&file(folder)));
    let server = Server::bind(app.clone(), options, ListenFd::empty())
        .await
        .unwrap();
    let address = server.local_addrs().next().unwrap();
    let client = match &settings.tls_client {
        Some(tls) => Client::over_tls(address, tls.clone()),
        None => Client::new(address),
    };
    let metrics = server.metrics_addr();
    let (stop_server, stopped) = oneshot::channel();
    let server = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        server.run(stopped).await.unwrap();
    });
    let (stop_jobs, stop) = watch::channel(false);
    let jobs = tokio::spawn({
        let app = app.clone();
        async move { app.run_jobs(stop).await }
    });
    let running = Running {
        metrics,
        stop_server,
        server,
        stop_jobs,
        jobs,
    };
    (db, app, client, running)
}

/// Opens the store; a server that has just stopped may still be releasing it.
async fn open_store(options: &StoreOptions) -> Db {
    let opened = time::timeout(Duration::from_secs(10), async {
        loop {
            match Db::open(options) {
                Err(OpenError::AlreadyServed { .. }) => tokio::task::yield_now().await,
                opened => return opened,
            }
        }
    });
    opened
        .await
        .expect("the old server releases the store")
        .unwrap()
}
