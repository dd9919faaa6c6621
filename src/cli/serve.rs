//! `hallpass serve`: the server, from the settings to the last request.

mod first_start;
mod signals;
mod systemd;

use std::{
    fs, io, net::SocketAddr, num::NonZero, os::unix::fs::FileTypeExt as _, path::PathBuf,
    sync::Arc, thread, time::Duration,
};

use listenfd::ListenFd;
use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
};

use crate::{
    app::{App, AppOptions, audit, bootstrap},
    config::{
        Settings,
        environment::ADMIN_PASSWORD,
        secrets::{ADMIN_PASSWORD_FILE, SecretSource, read_secret_file},
    },
    domain::clock::{Clock as _, SystemClock},
    metrics::Metrics,
    server::{BindError, Server, ServerOptions, control_socket},
    store::{self, Db, OpenAs, OpenError, StoreOptions},
};

use super::{
    failure::{self, Failure},
    logging::{self, LogQueue},
    open_files, output,
};

/// How long the lines on stdout wait for the log to be written.
const BEFORE_STDOUT: Duration = Duration::from_secs(1);

/// The settings of `serve`, parsed and checked against each other.
pub(super) struct Plan {
    app: AppOptions,
    server: ServerOptions,
    store: StoreOptions,
    /// The password of the first admin.
    pub(super) password: SecretSource,
    /// The file of the database, without links.
    database: PathBuf,
    has_database: bool,
}

impl Plan {
    /// Checks what can be checked before the database is opened: whether the settings fit together, and whether the
    /// database can be at its path.
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let (app, mut server) = settings.options()?;
        server.log_requests = settings.log.log_requests;
        if let Some(tls) = &server.tls {
            tls.check()?;
        }
        let password = SecretSource::find(
            ADMIN_PASSWORD,
            settings.passwords.admin_password_file.as_deref(),
        )?;
        let store = settings.store.options(OpenAs::Serve);
        let (database, has_database) = store::locate(&store)?;
        let socket = control_socket::path_of(&database);
        control_socket::is_taken(&socket)
            .map_err(|error| cannot_listen(&format!("unix:{}", socket.display()), &error))?;
        server.control_socket = Some(socket);
        Ok(Self {
            app,
            server,
            store,
            password,
            database,
            has_database,
        })
    }

    /// Checks what only a first start needs. A pipe can be read only once, so it is not read here.
    pub(super) fn check_first_start(&self) -> Result<(), Failure> {
        if self.has_database {
            return Ok(());
        }
        let given = match &self.password {
            SecretSource::NotSet => None,
            SecretSource::Variable(password) => Some(password.clone()),
            SecretSource::File(path) => {
                if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
                    return Ok(());
                }
                Some(read_secret_file(path, ADMIN_PASSWORD_FILE)?)
            }
        };
        bootstrap::check(&self.app, given.as_ref()).map_err(first_start::failure)
    }
}

/// Runs `hallpass serve` until it is told to stop.
pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    // Before there are threads: it changes the environment.
    let inherited = ListenFd::from_env();
    let metrics = Metrics::default();
    let log = logging::start(&settings.log, metrics.clone()).map_err(cannot_start)?;
    log.last_error(start(settings, inherited, metrics, log.queue()))
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::failed(format!("cannot start the threads: {error}"))
}

fn cannot_listen(address: &str, error: &io::Error) -> Failure {
    let advice = "free it, or give another one with --listen or --metrics-listen";
    Failure::failed(format!("cannot listen on {address}: {error}: {advice}"))
}

fn start(
    settings: &Settings,
    inherited: ListenFd,
    metrics: Metrics,
    log: &LogQueue,
) -> Result<(), Failure> {
    let mut plan = Plan::of(settings)?;
    plan.store.metrics = metrics.store();
    plan.store.migration_event = Some(Box::new(audit::migration_event(SystemClock.now(), None)));
    plan.store.on_fatal = failure::end;
    plan.app.metrics = metrics;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    let accept_clock = settings.retention.accept_clock;
    runtime.block_on(serve(plan, inherited, accept_clock, log))
}

async fn serve(
    plan: Plan,
    inherited: ListenFd,
    accept_clock: bool,
    log: &LogQueue,
) -> Result<(), Failure> {
    let no_signals =
        |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
    // Before anything else: an early signal is not lost, and stops the server in order.
    let stop = signals::stop(log.clone()).map_err(no_signals)?;
    let certificate = plan.server.tls.as_ref().map(|tls| Arc::clone(&tls.reload));
    let sink = plan
        .app
        .audit_sink
        .as_ref()
        .map(|sink| Arc::clone(&sink.reopen));
    let reload: Vec<_> = certificate.into_iter().chain(sink).collect();
    signals::handle_others(&reload).map_err(no_signals)?;
    let mut stop = Box::pin(stop);
    let (server, app) = tokio::select! {
        biased;
        // Nothing is under way yet while it waits for the database, or for a password from a pipe.
        () = &mut stop => return Ok(()),
        ready = get_ready(plan, inherited, accept_clock, log) => ready?,
    };
    let (stop_jobs, stopped) = watch::channel(false);
    let announced = announce(&server, log.clone());
    app.start_audit_sink(announced).await?;
    systemd::ready();
    let stop = async {
        stop.await;
        systemd::stopping();
    };
    tokio::spawn(systemd::watchdog());
    let serving = async {
        let ended = server.run(stop).await;
        drop(stop_jobs);
        ended
    };
    // Not a task of its own: a job that panics must end the server, and not go unnoticed for weeks.
    let (ended, ()) = tokio::join!(serving, app.run_jobs(stopped));
    ended.map_err(|error| Failure::failed(format!("the listener failed: {error}")))
}

/// Everything before the first request can be served.
async fn get_ready(
    plan: Plan,
    inherited: ListenFd,
    accept_clock: bool,
    log: &LogQueue,
) -> Result<(Server, App), Failure> {
    let db = open(plan.store).await?;
    tracing::info!(path = %plan.database.display(), "the database is open");
    let bootstrap_token = plan.app.bootstrap_token.clone();
    let app = App::start(db, Arc::new(SystemClock), plan.app).await?;
    if accept_clock {
        app.accept_clock();
    }
    first_start::first_start(&app, plan.password, bootstrap_token, log).await?;
    app.store_policies().await?;
    let mut options = plan.server;
    options.limits.max_connections = open_files::raise_limit(options.limits.max_connections);
    let is_encrypted = options.tls.is_some() || !options.trusted_proxies.is_empty();
    let server = Server::bind(app.clone(), options, inherited)
        .await
        .map_err(|error| match error {
            BindError::Address { address, source } => cannot_listen(&address, &source),
            BindError::Tls(error) => error.into(),
        })?;
    // Whoever names a proxy has one, which speaks TLS.
    let is_remote = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    if let Some(address) = server
        .local_addrs()
        .find(is_remote)
        .filter(|_| !is_encrypted)
    {
        tracing::warn!(
            "listening on {address} without TLS: others on the network can read passwords and tokens; give \
             --tls-cert, put a proxy that speaks TLS in front and name it with --trusted-proxy, or listen on loopback"
        );
    }
    Ok((server, app))
}

/// Opens the database on a thread that the end of the process does not wait for: another process may have it, and a
/// migration that is cut off is undone by the next start.
async fn open(options: StoreOptions) -> Result<Db, Failure> {
    let (done, is_open) = oneshot::channel::<Result<Db, OpenError>>();
    let open = move || drop(done.send(Db::open(&options)));
    let thread = thread::Builder::new().name("open".to_owned());
    thread.spawn(open).map_err(cannot_start)?;
    let opened = tokio::select! {
        opened = is_open => opened.expect("the thread sends before it ends"),
        never = systemd::starting() => match never {},
    };
    Ok(opened?)
}

/// Prints the addresses to stdout once the log is written up to here, on a thread of its own, which may block for as
/// long as nobody reads. What it returns is ready once they are printed.
fn announce(server: &Server, log: LogQueue) -> oneshot::Receiver<()> {
    let (done, announced) = oneshot::channel();
    let urls = server.urls();
    let metrics = server.metrics_addr();
    let metrics = metrics.map(|address| format!("hallpass metrics on http://{address}/metrics"));
    let thread = thread::Builder::new().name("stdout".to_owned());
    drop(thread.spawn(move || {
        log.flush(BEFORE_STDOUT);
        for url in urls {
            output::line(&format!("hallpass listening on {url}"))?;
        }
        let printed = metrics.map_or(Ok(()), |line| output::line(&line));
        drop(done);
        printed
    }));
    announced
}
