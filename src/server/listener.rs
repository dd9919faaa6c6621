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
#[cfg(test)]
mod tests;
mod timeout_io;
mod tls;
mod transport;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io::{Error, ErrorKind},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use tokio::{sync::watch, task::JoinSet};
use tower::{Service, service_fn};

pub use self::transport::{Peer, Transport};
pub(in crate::server) use self::{
    connection::note_authenticated,
    tls::Tls,
    transport::{Accepted, ClientCertificate, Pipe},
};
use self::{
    connection::{Connection, refuse},
    connection_registry::{Admission, ConnectionRegistry},
};
use super::limits::Limits;
use crate::metrics::LoadShed;

/// Extension of a request that does not fit into the memory budget.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct OverBudget;

/// Pause after a failed accept: long enough not to spin while the process is out of file descriptors, short enough
/// to go unnoticed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Extra time at shutdown, so that a request which began just before can still be answered with its timeout.
const SHUTDOWN_MARGIN: Duration = Duration::from_millis(250);

/// How often to check whether a waiting connection can be admitted.
const WAIT_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Accepts connections until `shutdown` completes, then waits up to `limits.handler_timeout` for requests in
/// flight. Connections and requests that are rejected or evicted are counted in `load_shed`.
pub async fn serve<S>(
    mut transport: impl Transport,
    service: S,
    limits: Arc<Limits>,
    load_shed: LoadShed,
    shutdown: impl Future<Output = ()>,
) where
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
    let mut next: Option<Accepted> = None;
    loop {
        registry.sweep();
        if let Some(accepted) = next.take() {
            match registry.admit(accepted.peer.ip()) {
                Admission::Admitted(state) => {
                    let connection = Connection { accepted, state };
                    tasks.spawn(connection.serve(service.clone(), stopped.clone()));
                }
                Admission::Refused(state) => {
                    let connection = Connection { accepted, state };
                    tasks.spawn(connection.serve(service_fn(refuse), stopped.clone()));
                }
                Admission::Wait => next = Some(accepted),
                Admission::Dropped => {}
            }
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => {}
            accepted = poll_fn(|cx| transport.poll_accept(cx)), if next.is_none() => match accepted {
                Ok(accepted) => next = Some(accepted),
                Err(error) => pause_after_error(&error).await,
            },
            () = tokio::time::sleep(WAIT_POLL_INTERVAL), if next.is_some() => {}
        }
    }
    drop(next);
    drop(transport);
    drop(stop);
    let all_done = async { while tasks.join_next().await.is_some() {} };
    let most = limits.handler_timeout + SHUTDOWN_MARGIN;
    if tokio::time::timeout(most, all_done).await.is_err() {
        tracing::warn!("some requests outlasted the shutdown and were aborted");
    }
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
