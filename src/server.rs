//! Hallpass over HTTP: the way of a request from the socket to a use case and back.
//!
//! ```text
//! listener → origin → CORS → edge ─┬→ rpc/  (calls: authenticated, decoded)
//!                                  ├→ grpc  (tonic: health, reflection)
//!                                  └→ web/  (pages, probes, OAuth's endpoints, forward-auth)
//! ```
//!
//! `/metrics` has a listener of its own.
//!
//! What is said here in which words is decided here; what may be done is decided in `app`.

mod access_log;
mod auth;
mod cors;
pub mod current;
pub mod edge;
pub mod endpoints;
mod error;
mod grpc;
mod identity;
pub mod limits;
pub mod listener;
mod origin;
mod router;
mod rpc;
pub mod web;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use ipnet::IpNet;
use tokio::{net::TcpListener, sync::watch};

use crate::app::App;
pub use access_log::LogRequests;
use limits::Limits;

/// What the server is told by the settings.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to serve `/metrics`; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The origins whose pages may call: `*`, or such as `https://app.example`.
    pub cors_origins: Vec<String>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which requests are in the log at level info.
    pub log_requests: LogRequests,
    /// The bounds of requests and connections.
    pub limits: Limits,
}

/// A server that has its address, and is not yet serving.
pub struct Server {
    app: App,
    options: ServerOptions,
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<(TcpListener, SocketAddr)>,
}

impl Server {
    /// Takes the addresses.
    ///
    /// # Errors
    /// The address that cannot be taken, and why.
    pub async fn bind(app: App, options: ServerOptions) -> Result<Self, (SocketAddr, io::Error)> {
        let (listener, address) = take(options.listen).await?;
        let metrics = match options.metrics_listen {
            Some(address) => Some(take(address).await?),
            None => None,
        };
        Ok(Self {
            app,
            options,
            listener,
            address,
            metrics,
        })
    }

    /// Where `/metrics` is served, with the real port.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// The address, with the real port where 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is over, then answers what is under way.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let limits = Arc::new(self.options.limits.clone());
        let grpc = grpc::Services::start(&self.app)?;
        let service = router::service(&self.app, &self.options, grpc.routes(), Arc::clone(&limits));
        let Some((metrics, _)) = self.metrics else {
            return listener::serve(self.listener, service, limits, shutdown).await;
        };
        let (stop, mut stopped) = watch::channel(());
        let calls = async {
            let ended =
                listener::serve(self.listener, service, Arc::clone(&limits), shutdown).await;
            drop(stop);
            ended
        };
        let stop_metrics = async move { drop(stopped.changed().await) };
        let metrics = listener::serve(
            metrics,
            web::metrics::routes(self.app.clone()),
            Arc::clone(&limits),
            stop_metrics,
        );
        let (ended, of_metrics) = tokio::join!(calls, metrics);
        ended.and(of_metrics)
    }
}

async fn take(address: SocketAddr) -> Result<(TcpListener, SocketAddr), (SocketAddr, io::Error)> {
    let listener = TcpListener::bind(address).await;
    let taken = listener.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    taken.map_err(|error| (address, error))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
