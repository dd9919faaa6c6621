//! The accept loop. It bounds what a peer can do to a connection; the shape of requests is checked by the edge.
//!
//! `axum::serve` sets no timers, so a half-sent header would keep a connection open forever. Here each connection
//! has a `ConnectionState`, which knows what it is waiting for and until when,
//! and a socket that enforces that deadline.

mod body;
mod connection;
mod connection_registry;
mod connection_state;
mod memory_budget;
mod shared;
#[cfg(test)]
mod tests;
mod timeout_io;

use std::{
    convert::Infallible,
    future::Future,
    io::{Error, ErrorKind},
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::{Service, service_fn};

pub(in crate::server) use self::connection::note_authenticated;
use self::{
    connection::{Connection, refuse},
    connection_registry::{Admission, ConnectionRegistry},
};
use super::limits::Limits;
use crate::metrics::LoadShed;

/// Extension of a request that does not fit into the memory budget.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct OverBudget;

/// The other end of the connection, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A network client.
    Network(SocketAddr),
    /// A process on this machine, connected through the control socket or an in-process pipe.
    Local {
        /// Its operating-system user, as reported by the kernel.
        uid: u32,
    },
}

impl Peer {
    /// Its address, if it has one.
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(address.ip()),
            Self::Local { .. } => None,
        }
    }
}

/// Accepts connections of one transport.
pub trait Listener: Send {
    /// An accepted connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection. Cancel safe.
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Stream, Peer), Error>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> Result<(TcpStream, Peer), Error> {
        let (stream, peer) = Self::accept(self).await?;
        // Disables Nagle's algorithm: replies are small, and waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        Ok((stream, Peer::Network(peer)))
    }
}

/// Pause after a failed accept: long enough not to spin while the process is out of file descriptors, short enough
/// to go unnoticed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Extra time at shutdown, so that a request which began just before can still be answered with its timeout.
const SHUTDOWN_MARGIN: Duration = Duration::from_millis(250);

/// How often to check whether a waiting connection can be admitted.
const WAIT_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Accepts connections until `shutdown` completes, then waits up to `limits.handler_timeout` for requests in
/// flight. Connections and requests that are rejected or evicted are counted in `load_shed`.
pub async fn serve<L, S>(
    mut listener: L,
    service: S,
    limits: Arc<Limits>,
    load_shed: LoadShed,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error>
where
    L: Listener,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let mut shutdown = pin!(shutdown);
    let (stop, stopped) = watch::channel(());
    let mut registry = ConnectionRegistry::new(Arc::clone(&limits), load_shed);
    let mut tasks = JoinSet::new();
    // Accepted, but waiting for a slot.
    let mut next = None;
    loop {
        registry.sweep();
        if let Some((stream, peer)) = next.take() {
            let connection = |stream, state| Connection {
                stream,
                peer,
                state,
                limits: Arc::clone(&limits),
            };
            match registry.admit(peer.ip()) {
                Admission::Admitted(state) => {
                    let connection = connection(stream, state);
                    tasks.spawn(connection.serve(service.clone(), stopped.clone()));
                }
                Admission::Refused(state) => {
                    let connection = connection(stream, state);
                    tasks.spawn(connection.serve(service_fn(refuse), stopped.clone()));
                }
                Admission::Wait => next = Some((stream, peer)),
                Admission::Dropped => {}
            }
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept(), if next.is_none() => match accepted {
                Ok(accepted) => next = Some(accepted),
                Err(error) => pause_after_error(&error).await,
            },
            () = tokio::time::sleep(WAIT_POLL_INTERVAL), if next.is_some() => {}
        }
    }
    drop(next);
    drop(listener);
    drop(stop);
    let all_done = async { while tasks.join_next().await.is_some() {} };
    let most = limits.handler_timeout + SHUTDOWN_MARGIN;
    if tokio::time::timeout(most, all_done).await.is_err() {
        tracing::warn!("some requests outlasted the shutdown and were aborted");
    }
    Ok(())
}

/// An aborted or reset connection is the peer's business. Any other error most likely means that the process is out
/// of file descriptors, which only free up as other connections close.
async fn pause_after_error(error: &Error) {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        tracing::error!(%error, "cannot accept connections; trying again");
        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
    }
}
