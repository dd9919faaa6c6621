//! `hallpass serve`: the server, from the settings to the last request.

mod first_start;
mod signals;

use std::{
    fs, io, num::NonZero, os::unix::fs::FileTypeExt as _, path::PathBuf, sync::Arc, thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
};

use crate::{
    app::{App, AppOptions, bootstrap},
    config::{Settings, environment::AdminPassword},
    domain::clock::SystemClock,
    metrics::Metrics,
    server::{Server, ServerOptions, control_socket},
    store::{self, Db, OpenAs, OpenError, StoreOptions},
};

use super::{
    failure::{self, Failure},
    logging::{self, Lines},
    open_files, output,
};

/// How long stdout waits for the log.
const BEFORE_STDOUT: Duration = Duration::from_secs(1);

/// What `serve` will run with: the settings, parsed and checked against each other.
pub(super) struct Plan {
    app: AppOptions,
    server: ServerOptions,
    store: StoreOptions,
    /// Of the first admin.
    pub(super) password: AdminPassword,
    /// Its file, without links.
    database: PathBuf,
    has_database: bool,
}

impl Plan {
    /// Checks all that can be told before the database is opened: whether the settings go together, and whether
    /// the database can be where it is said to be.
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let (app, mut server) = settings.options()?;
        server.log_requests = settings.log.log_requests;
        let password = AdminPassword::find()?;
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

    /// Checks what only a first start asks for. What may come through a pipe can be read once, so it is not.
    pub(super) fn check_first_start(&self) -> Result<(), Failure> {
        if self.has_database {
            return Ok(());
        }
        let given = match &self.password {
            AdminPassword::NotSet => None,
            AdminPassword::Given(password) => Some(password.clone()),
            AdminPassword::File(path) => {
                if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
                    return Ok(());
                }
                Some(AdminPassword::read_file(path)?)
            }
        };
        bootstrap::check(&self.app, given.as_ref()).map_err(first_start::failure)
    }
}

/// Runs `hallpass serve` until it is told to stop.
pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let metrics = Metrics::default();
    let log = logging::start(&settings.log, metrics.clone()).map_err(cannot_start)?;
    log.last_words(start(settings, metrics, log.lines()))
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::failed(format!("cannot start the threads: {error}"))
}

fn cannot_listen(address: &str, error: &io::Error) -> Failure {
    let advice = "free it, or give another one with --listen or --metrics-listen";
    Failure::failed(format!("cannot listen on {address}: {error}: {advice}"))
}

fn start(settings: &Settings, metrics: Metrics, log: &Lines) -> Result<(), Failure> {
    let mut plan = Plan::of(settings)?;
    plan.store.metrics = metrics.store();
    plan.store.on_fatal = failure::end;
    plan.app.metrics = metrics;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    runtime.block_on(serve(plan, settings.retention.accept_clock, log))
}

async fn serve(plan: Plan, accept_clock: bool, log: &Lines) -> Result<(), Failure> {
    let no_signals =
        |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
    // Before anything else: a signal that comes early is not lost, and ends the server in order.
    let stop = signals::stop(log.clone()).map_err(no_signals)?;
    signals::ignore_others().map_err(no_signals)?;
    let mut stop = Box::pin(stop);
    let (server, app) = tokio::select! {
        biased;
        // While it waits for the database or a password that comes through a pipe, nothing is under way yet.
        () = &mut stop => return Ok(()),
        ready = get_ready(plan, accept_clock, log) => ready?,
    };
    let (stop_jobs, stopped) = watch::channel(false);
    announce(&server, log.clone());
    let serving = async {
        let ended = server.run(stop).await;
        drop(stop_jobs);
        ended
    };
    // Not a task of its own: a job that panics must end the server, not be missed for weeks.
    let (ended, ()) = tokio::join!(serving, app.run_jobs(stopped));
    ended.map_err(|error| Failure::failed(format!("the listener failed: {error}")))
}

/// All until the first request could be answered.
async fn get_ready(plan: Plan, accept_clock: bool, log: &Lines) -> Result<(Server, App), Failure> {
    let db = open(plan.store).await?;
    tracing::info!(path = %plan.database.display(), "the database is open");
    let app = App::start(db, Arc::new(SystemClock), plan.app).await?;
    if accept_clock {
        app.accept_clock();
    }
    first_start::first_start(&app, plan.password, log).await?;
    app.store_policies().await?;
    let mut options = plan.server;
    options.limits.max_connections = open_files::make_room(options.limits.max_connections);
    let names_a_proxy = !options.trusted_proxies.is_empty();
    let server = Server::bind(app.clone(), options)
        .await
        .map_err(|(address, error)| cannot_listen(&address, &error))?;
    // Who names a proxy has one, which is what speaks TLS.
    if !server.local_addr().ip().to_canonical().is_loopback() && !names_a_proxy {
        tracing::warn!(
            "listening on {} without TLS: who is on the way can read passwords and tokens; put a proxy that \
             speaks TLS in front and name it with --trusted-proxy, or listen on loopback",
            server.local_addr()
        );
    }
    Ok((server, app))
}

/// On a thread that the end of the process does not wait for: another process may have the database.
async fn open(options: StoreOptions) -> Result<Db, Failure> {
    let (done, is_open) = oneshot::channel::<Result<Db, OpenError>>();
    let open = move || drop(done.send(Db::open(&options)));
    let thread = thread::Builder::new().name("open".to_owned());
    thread.spawn(open).map_err(cannot_start)?;
    let opened = is_open.await.expect("the thread answers before it ends");
    Ok(opened?)
}

/// Tells on stdout where the server is, once the log has what came before. A thread of its own may wait there for
/// as long as nobody reads.
fn announce(server: &Server, log: Lines) {
    let listening = format!("hallpass listening on http://{}", server.local_addr());
    let metrics = server.metrics_addr();
    let metrics = metrics.map(|address| format!("hallpass metrics on http://{address}/metrics"));
    let thread = thread::Builder::new().name("stdout".to_owned());
    drop(thread.spawn(move || {
        log.flush(BEFORE_STDOUT);
        output::line(&listening)?;
        metrics.map_or(Ok(()), |line| output::line(&line))
    }));
}
