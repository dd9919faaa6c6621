//! Hallpass over HTTP: what happens to a request between the socket and a use case, and to the reply on its way
//! back.
//!
//! ```text
//! listener → context → cors → edge ─┬→ rpc/               (calls: authenticated, decoded)
//!                                   ├→ health_reflection  (tonic's reflection)
//!                                   └→ web/               (pages, probes, OAuth's endpoints, forward-auth)
//! ```
//!
//! `/metrics` has a listener of its own. Local commands use the control socket, which serves only the procedures.
//!
//! This module decides how requests and replies are expressed; what may be done is decided in `app`.

mod access_log;
mod anonymous;
mod authenticate;
mod client_address;
mod context;
pub mod control_socket;
mod cors;
pub mod edge;
pub mod endpoints;
pub mod error;
mod external_auth;
mod health_reflection;
pub mod limits;
mod listen;
pub mod listener;
mod metrics;
mod public_url;
pub mod request_id;
mod router;
mod rpc;
mod server_certificate;
mod tls;
mod unknown_name;
pub mod web;

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc};

use futures_util::future::OptionFuture;
use http::HeaderName;
use ipnet::IpNet;
use listenfd::ListenFd;
use tokio::{io::DuplexStream, net::TcpListener, sync::watch};

use crate::app::App;
pub use access_log::LogRequests;
use anonymous::AnonymousStreams;
use control_socket::ControlSocket;
use health_reflection::{Health, Reflection};
use limits::Limits;
use listen::Bound;
pub use listen::ListenAddress;
use listener::{Pipe, Tls, Transport};
pub use public_url::PublicUrl;
use server_certificate::ServerCertificate;
pub use tls::{TlsError, TlsOptions, read_certificates, read_key};

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// Certificate and key with which TCP addresses speak TLS; `None`: they speak plain HTTP.
    pub tls: Option<TlsOptions>,
    /// Path of the control socket, for commands on this machine; `None`: no socket.
    pub control_socket: Option<PathBuf>,
    /// Address to serve `/metrics` on; `None`: not served.
    pub metrics_listen: Option<SocketAddr>,
    /// The URL under which clients reach the server; `None`: taken from each request.
    pub public_url: Option<PublicUrl>,
    /// Origins whose pages may call: `*`, or `https://app.example` and the like.
    pub cors_origins: Vec<String>,
    /// Header fields that these pages may send besides those that are always allowed.
    pub cors_headers: Vec<HeaderName>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Which requests are logged at level info.
    pub log_requests: LogRequests,
    /// Limits on requests and connections.
    pub limits: Limits,
}

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address, or the path of a socket.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl BindError {
    const fn new(address: String, source: io::Error) -> Self {
        Self::Address { address, source }
    }
}

/// A server that is bound to its addresses but not serving yet.
pub struct Server {
    app: App,
    options: ServerOptions,
    bound: Vec<Bound>,
    certificate: Option<Arc<ServerCertificate>>,
    control: Option<ControlSocket>,
    metrics: Option<(TcpListener, SocketAddr)>,
}

impl Server {
    /// Reads the certificate and binds to all addresses. `inherited`: the sockets that systemd has passed.
    pub async fn bind(
        app: App,
        options: ServerOptions,
        mut inherited: ListenFd,
    ) -> Result<Self, BindError> {
        let certificate = match &options.tls {
            Some(tls) => Some(ServerCertificate::load(tls, &app)?),
            None => None,
        };
        let bound = listen::bind(&options.listen, &mut inherited).await?;
        let asks_for_certificates = options
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some());
        for socket in &bound {
            if let (Bound::Unix(_), true) = (socket, asks_for_certificates) {
                let error = io::Error::other(
                    "--tls-client-ca asks every client for a certificate, and this socket does not speak TLS",
                );
                return Err(BindError::new(socket.url(false), error));
            }
        }
        let control =
            match &options.control_socket {
                Some(path) => {
                    let socket = ControlSocket::bind(path);
                    Some(socket.map_err(|error| {
                        BindError::new(format!("unix:{}", path.display()), error)
                    })?)
                }
                None => None,
            };
        let metrics = match options.metrics_listen {
            Some(address) => Some(take(address).await?),
            None => None,
        };
        Ok(Self {
            app,
            options,
            bound,
            certificate,
            control,
            metrics,
        })
    }

    /// The address of `/metrics`, with the actual port.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// The TCP addresses, with the actual port where 0 was requested.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.bound.iter().filter_map(|bound| match bound {
            Bound::Tcp(_, address) => Some(*address),
            Bound::Unix(_) => None,
        })
    }

    /// The URLs of all addresses; a Unix socket's is `unix:PATH`.
    pub fn urls(&self) -> Vec<String> {
        let is_tls = self.certificate.is_some();
        self.bound.iter().map(|bound| bound.url(is_tls)).collect()
    }

    /// Serves until `shutdown` completes, then waits for requests in flight.
    ///
    /// # Errors
    /// The descriptors of the services cannot be read.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let (app, options) = (&self.app, &self.options);
        let limits = Arc::new(Limits {
            uncounted_networks: options.trusted_proxies.clone(),
            ..options.limits.clone()
        });
        let (stop_streams, stopping) = watch::channel(false);
        let load_shed = app.metrics().load_shed();
        let streams = AnonymousStreams::new(&limits, load_shed.clone(), stopping);
        let reflection = Reflection::new(streams.clone())?;
        let (health, health_task) = Health::start(app, streams);
        // The other listeners stop after the main one.
        let (stop_others, others_stop) = watch::channel(());
        let stopped = || {
            let mut stop = others_stop.clone();
            async move { drop(stop.changed().await) }
        };
        let calls = async {
            let shutdown = async {
                shutdown.await;
                health_task.stop();
                stop_streams.send_replace(true);
                app.end_followers();
            };
            let service = router::service(app, options, (reflection, health), Arc::clone(&limits));
            let (limits, load_shed) = (Arc::clone(&limits), load_shed.clone());
            let certificate = self.certificate.as_ref();
            let transports = self.bound.into_iter();
            let transports: Vec<_> = transports
                .map(|bound| bound.transport(certificate))
                .collect();
            listener::serve(transports, service, limits, load_shed, shutdown).await;
            drop(stop_others);
        };
        let reloads = self.certificate.as_ref().map(|certificate| async {
            tokio::select! {
                () = certificate.keep_current(app) => {}
                () = stopped() => {}
            }
        });
        let control = self.control.map(|socket| {
            let service = router::control_service(app, options.log_requests, Arc::clone(&limits));
            let (limits, load_shed) = (Arc::clone(&limits), load_shed.clone());
            listener::serve(socket, service, limits, load_shed, stopped())
        });
        let metrics = self.metrics.map(|(listener, _)| {
            let service = metrics::routes(app.clone());
            let (limits, load_shed) = (Arc::clone(&limits), load_shed.clone());
            listener::serve(listener, service, limits, load_shed, stopped())
        });
        tokio::join!(
            calls,
            OptionFuture::from(reloads),
            OptionFuture::from(control),
            OptionFuture::from(metrics)
        );
        Ok(())
    }
}

/// Serves `app` within this process to its user `uid`, over an in-memory pipe. Returns the client's end of the
/// pipe, and the server, which runs until `shutdown` completes.
pub fn embedded(
    app: App,
    uid: u32,
    shutdown: impl Future<Output = ()> + Send,
) -> (DuplexStream, impl Future<Output = ()> + Send) {
    let (pipe, stream) = Pipe::new(uid);
    let limits = Arc::new(Limits::default());
    let service = router::control_service(&app, LogRequests::default(), Arc::clone(&limits));
    let load_shed = app.metrics().load_shed();
    (
        stream,
        listener::serve(pipe, service, limits, load_shed, shutdown),
    )
}

/// Has `listener` speak TLS with a certificate that is never read again.
///
/// # Errors
/// The certificate cannot be used.
pub fn over_tls(
    listener: TcpListener,
    options: &TlsOptions,
    app: &App,
) -> Result<impl Transport + use<>, TlsError> {
    let certificate = ServerCertificate::load(options, app)?;
    Ok(Tls::new(listener, certificate))
}

async fn take(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listener = TcpListener::bind(address).await;
    let taken = listener.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    taken.map_err(|error| BindError::new(address.to_string(), error))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
