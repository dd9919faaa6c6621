//! `hallpass serve`: the server, from the settings to the last request.

use std::{
    fs,
    io::{self, IsTerminal},
    num::NonZero,
    path::PathBuf,
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    app::{
        App, AppOptions,
        bootstrap::{BootstrapError, Outcome},
    },
    config::{
        Settings,
        environment::{ADMIN_PASSWORD, AdminPassword},
    },
    domain::clock::SystemClock,
    metrics::Metrics,
    server::{Server, control_socket},
    store::{Db, OpenAs},
};

use super::{
    exit_code::ExitCode,
    failure::{self, Failure},
    logging::{self, Lines},
    open_files, output,
};

/// How long stdout waits for the log.
const BEFORE_STDOUT: Duration = Duration::from_secs(1);
/// How long a second signal waits for its line in the log.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Runs `hallpass serve` until it is told to stop.
pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let metrics = Metrics::default();
    let log = logging::start(&settings.log, metrics.clone()).map_err(cannot_start)?;
    log.last_words(start(settings, metrics, log.lines()))
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::failed(format!("cannot start the threads: {error}"))
}

fn start(settings: &Settings, metrics: Metrics, log: &Lines) -> Result<(), Failure> {
    let password = AdminPassword::read()?;
    let mut options = settings.app_options()?;
    let mut store = settings.store.options(OpenAs::Serve);
    store.metrics = metrics.store();
    store.on_fatal = failure::end;
    let db = Db::open(&store)?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    options.metrics = metrics;
    // As the lock has it: without links.
    let database = fs::canonicalize(&store.path)?;
    runtime.block_on(serve(db, database, settings, options, password, log))
}

async fn serve(
    db: Db,
    database: PathBuf,
    settings: &Settings,
    options: AppOptions,
    password: AdminPassword,
    log: &Lines,
) -> Result<(), Failure> {
    // Before anything else: a signal that comes early is not lost, and ends the server in order.
    let stop = stop_signal(log.clone())
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let app = App::start(db, Arc::new(SystemClock), options).await?;
    if settings.retention.accept_clock {
        app.accept_clock();
    }
    first_start(&app, password, log).await?;
    app.store_policies().await?;
    let mut options = settings.server.options();
    options.log_requests = settings.log.log_requests;
    options.control_socket = Some(control_socket::path_of(&database));
    options.limits.max_connections = open_files::make_room(options.limits.max_connections);
    let server = Server::bind(app.clone(), options)
        .await
        .map_err(|(address, error)| {
            let advice = "free it, or give another one with --listen or --metrics-listen";
            Failure::failed(format!("cannot listen on {address}: {error}: {advice}"))
        })?;
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

/// Completes when the process is told to stop. Told once more, the process ends at once: whoever asks twice
/// does not want to wait, and the store is safe at any moment.
fn stop_signal(log: Lines) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    Ok(async move {
        // Not within the macro: what is not logged is not awaited.
        let signal = next().await;
        tracing::info!("stopping on {signal}");
        tokio::spawn(async move {
            let signal = next().await;
            tracing::warn!("ending at once on a second signal, {signal}");
            log.flush(LAST_WORD);
            process::exit(ExitCode::Failed.number().into());
        });
    })
}

/// On an empty database, creates the first admin and tells how to sign in.
async fn first_start(app: &App, password: AdminPassword, log: &Lines) -> Result<(), Failure> {
    let is_given = !matches!(password, AdminPassword::NotSet);
    let given = match password {
        AdminPassword::NotSet => None,
        AdminPassword::Given(password) => Some(password),
        AdminPassword::Unreadable(error) => {
            // Only a first start needs it. A later one does not mind that the file is gone.
            if app.has_no_users().await? {
                return Err(error.into());
            }
            None
        }
    };
    let outcome = app.bootstrap(given).await.map_err(|error| match error {
        BootstrapError::App(error) => Failure::from(error),
        other => Failure::failed(other.to_string()),
    })?;
    match outcome {
        Outcome::AlreadySetUp if is_given => {
            tracing::info!("{ADMIN_PASSWORD} is ignored: the database has users already");
        }
        Outcome::AlreadySetUp => {}
        Outcome::CreatedWithGivenPassword => {
            tracing::info!("created the user admin with the password of {ADMIN_PASSWORD}");
        }
        Outcome::CreatedWithRandomPassword { password, file } => {
            let file = file.display();
            if io::stderr().is_terminal() {
                let hint = format!(
                    "Created the first user. Sign in as:\n  username: admin\n  password: {}\n\
                     The password is also in {file}, until it is changed: hallpass user set-password admin\n",
                    password.expose()
                );
                log.push(hint.as_bytes());
            } else {
                tracing::warn!(
                    %file,
                    "created the user admin: its password is in this file, until it is changed"
                );
            }
        }
    }
    Ok(())
}
