//! Connects to a server over the network or its control socket, or to one embedded in this process.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{Target, tls};
use crate::{
    app::App,
    cli::{exit_code::ExitCode, failure::Failure},
    config::server_address::ServerAddress,
    domain::clock::SystemClock,
    server::{self, control_socket},
    store::{Db, EngineOptions, OpenError, StoreOptions},
};

/// How long connecting over the network may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to check whether a database is unlocked or its server ready.
const RETRY: Duration = Duration::from_millis(20);

/// A byte stream in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection to a server.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// The server, if it runs in this process.
    pub(super) server: Option<Embedded>,
}

impl Connection {
    fn to(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            server: None,
        }
    }
}

/// Connects to the target. With `lock_wait`, a database without a server is served by this process, after waiting that
/// long for another process to release it.
pub(super) async fn open(
    target: &Target,
    lock_wait: Option<Duration>,
) -> Result<Connection, Failure> {
    match target {
        Target::Http { address, tls, .. } => {
            let connector = tls.clone().map(TlsConnector::from);
            let connected = timeout(CONNECT_TIMEOUT, over_the_network(address, connector)).await;
            let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            connected.map_err(|error| {
                let problem = format!("cannot reach {address}: {error}");
                let failure = Failure::new(ExitCode::Unreachable, problem);
                failure.with_lines(tls::cause(&error).and_then(tls::advice))
            })
        }
        Target::Socket(path) => to_socket(path).await,
        Target::Database(options) => {
            if let Some(lock_wait) = lock_wait {
                return to_database(options, lock_wait).await;
            }
            let found = find_server(options).await?;
            found.ok_or_else(|| Failure::new(ExitCode::Unreachable, "no server runs on it"))
        }
    }
}

async fn over_the_network(
    address: &ServerAddress,
    connector: Option<TlsConnector>,
) -> io::Result<Connection> {
    let ServerAddress::Http { host, port, .. } = address else {
        return Err(io::Error::other("a control socket is not on the network"));
    };
    let name = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((name, *port)).await?;
    stream.set_nodelay(true)?;
    let Some(connector) = connector else {
        return Ok(Connection::to(stream));
    };
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    Ok(Connection::to(connector.connect(name, stream).await?))
}

/// The listener of the control socket must be the owner of the database beside it.
async fn to_socket(path: &Path) -> Result<Connection, Failure> {
    let shown = path.display();
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::new(
            ExitCode::Unreachable,
            format!("cannot reach unix:{shown}: {why}"),
        )
    };
    let database = path.with_extension("");
    let owner = fs::metadata(&database)
        .map_err(|error| cannot(&format!("its database {}: {error}", database.display())))?
        .uid();
    match control_socket::connect(path, owner).await {
        Ok(Some(stream)) => Ok(Connection::to(stream)),
        Ok(None) => Err(cannot(&"no server listens there")),
        Err(error) => Err(cannot(&error)),
    }
}

/// Connects to the server that owns the database, or else to an embedded one. Retries while a server starts or stops.
async fn to_database(options: &StoreOptions, lock_wait: Duration) -> Result<Connection, Failure> {
    let until = Instant::now() + lock_wait;
    loop {
        if let Some(found) = find_server(options).await? {
            return Ok(found);
        }
        match Db::open(options) {
            Ok(db) => return Embedded::start(db).await,
            Err(OpenError::AlreadyServed { .. }) if Instant::now() < until => sleep(RETRY).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects to the server that owns the database, whose path may be a symbolic link.
async fn find_server(options: &StoreOptions) -> Result<Option<Connection>, Failure> {
    let EngineOptions::Sqlite(sqlite) = &options.engine;
    let Ok(path) = fs::canonicalize(&sqlite.path) else {
        return Ok(None);
    };
    let Ok(database) = fs::metadata(&path) else {
        return Ok(None);
    };
    let socket: PathBuf = control_socket::path_of(&path);
    match control_socket::connect(&socket, database.uid()).await {
        Ok(found) => Ok(found.map(Connection::to)),
        // Its accept queue is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => {
            let problem = format!("cannot reach the server at {}: {error}", socket.display());
            Err(Failure::new(ExitCode::Unreachable, problem))
        }
    }
}

/// A server in this process, on a database that it owns.
pub(super) struct Embedded {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Embedded {
    async fn start(db: Db) -> Result<Connection, Failure> {
        let app = App::embedded(db, Arc::new(SystemClock)).await?;
        let uid = rustix::process::getuid().as_raw();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let (stream, serving) = server::embedded(app, uid, shutdown);
        let serving = tokio::spawn(serving);
        Ok(Connection {
            stream: Box::new(stream),
            server: Some(Self { stop, serving }),
        })
    }

    /// Stops the server and closes the database, so that another process may open it.
    pub(super) async fn end(self) {
        drop(self.stop);
        drop(self.serving.await);
    }
}
