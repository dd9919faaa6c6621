//! The accept loop: sockets in, requests out. It bounds what a peer can do to a connection; what a
//! request may look like is the edge's matter.
//!
//! `axum::serve` sets no timers, so a half-sent header would stay open for ever. Here each connection has
//! a pulse that knows what it is waiting for, and a socket that ends it when that does not
//! come.

mod body;
mod budget;
mod connection;
mod io;
mod pulse;
mod roster;
mod shared;
#[cfg(test)]
mod tests;

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
    roster::{Admission, Roster},
};
use super::limits::Limits;
use crate::metrics::LoadShed;

/// In the extensions of a request that finds no memory left for it.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct OverBudget;

/// Who is at the other end of the connection, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client on the network, at this address.
    Network(SocketAddr),
    /// A process on this machine that runs as the operating system's user `uid`, through the control socket or
    /// a pipe within this process.
    Local {
        /// As the kernel tells it.
        uid: u32,
    },
}

impl Peer {
    /// The address, where it has one.
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(address.ip()),
            Self::Local { .. } => None,
        }
    }
}

/// Where connections come from.
pub trait Listener: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection. It may be called anew where it was dropped before it was done.
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Stream, Peer), Error>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> Result<(TcpStream, Peer), Error> {
        let (stream, peer) = Self::accept(self).await?;
        // Replies are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        Ok((stream, Peer::Network(peer)))
    }
}

/// After a failed accept: long enough not to spin while all file descriptors are taken, short enough to
/// go unnoticed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// At a shutdown, the time to tell a request that its time is over, when it began just before.
const TO_TELL: Duration = Duration::from_millis(250);

/// How often to look whether there is room for a connection that waits for it.
const ROOM_CHECK: Duration = Duration::from_millis(10);

/// Serves until `shutdown` is done: then no connection is accepted any more, and what is under way is
/// answered, for at most `limits.handler_timeout`. What the bounds refuse or end is counted into `load_shed`.
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
    let mut roster = Roster::new(Arc::clone(&limits), load_shed);
    let mut tasks = JoinSet::new();
    // Accepted, and not served before there is room.
    let mut next = None;
    loop {
        roster.sweep();
        if let Some((stream, peer)) = next.take() {
            let connection = |stream, pulse| Connection {
                stream,
                peer,
                pulse,
                limits: Arc::clone(&limits),
            };
            match roster.admit(peer.ip()) {
                Admission::Admitted(pulse) => {
                    let connection = connection(stream, pulse);
                    tasks.spawn(connection.serve(service.clone(), stopped.clone()));
                }
                Admission::Refused(pulse) => {
                    let connection = connection(stream, pulse);
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
                Err(error) => rest_after(&error).await,
            },
            () = tokio::time::sleep(ROOM_CHECK), if next.is_some() => {}
        }
    }
    drop(next);
    drop(listener);
    drop(stop);
    let all_done = async { while tasks.join_next().await.is_some() {} };
    let most = limits.handler_timeout + TO_TELL;
    if tokio::time::timeout(most, all_done).await.is_err() {
        tracing::warn!("some requests were cut off: they outlasted the shutdown");
    }
    Ok(())
}

/// A peer that is gone before it was accepted is its own affair; anything else is most likely the end of
/// the file descriptors, which others must give back first.
async fn rest_after(error: &Error) {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        tracing::error!(%error, "cannot accept connections; trying again");
        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
    }
}
