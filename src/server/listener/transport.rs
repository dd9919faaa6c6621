//! Where connections come from. A transport accepts them, says who the peer is, and does whatever must happen before
//! HTTP is spoken.

use std::{
    future, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, TcpStream},
};

/// The other end of the connection, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A network client.
    Network(SocketAddr),
    /// A network client that speaks TLS.
    Tls(SocketAddr),
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
            Self::Network(address) | Self::Tls(address) => Some(address.ip()),
            Self::Local { .. } => None,
        }
    }
}

/// Subject of the certificate that the client has proved to hold, in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(in crate::server) struct ClientCertificate(pub(in crate::server) Arc<str>);

/// A source of connections: TCP, TLS, a Unix socket, a pipe in memory.
pub trait Transport: Send {
    /// Waits for the next connection.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>>;
}

/// The bytes of a connection, in both directions.
pub(in crate::server) trait Stream:
    AsyncRead + AsyncWrite + Send + Unpin
{
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that its transport has accepted.
#[expect(
    missing_debug_implementations,
    reason = "a future and a stream, neither of which can be shown"
)]
pub struct Accepted {
    pub(in crate::server) peer: Peer,
    /// Completes when HTTP can be spoken: at once, or after a handshake.
    pub(in crate::server) handshake: BoxFuture<'static, io::Result<Established>>,
}

/// A connection that HTTP can be spoken over.
pub(in crate::server) struct Established {
    pub(in crate::server) stream: Box<dyn Stream>,
    pub(in crate::server) client_certificate: Option<ClientCertificate>,
}

impl Accepted {
    /// A connection that needs no handshake.
    pub(in crate::server) fn ready(peer: Peer, stream: impl Stream + 'static) -> Self {
        let established = Established {
            stream: Box::new(stream),
            client_certificate: None,
        };
        Self {
            peer,
            handshake: Box::pin(future::ready(Ok(established))),
        }
    }
}

/// Several sources, which take turns.
impl Transport for Vec<Box<dyn Transport>> {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        for index in 0..self.len() {
            if let Poll::Ready(accepted) = self[index].poll_accept(cx) {
                self.rotate_left(index + 1);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

impl Transport for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, address) = ready!(poll_tcp(self, cx))?;
        Poll::Ready(Ok(Accepted::ready(Peer::Network(address), stream)))
    }
}

pub(super) fn poll_tcp(
    listener: &TcpListener,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    let (stream, address) = ready!(listener.poll_accept(cx))?;
    // Disables Nagle's algorithm: replies are small, and waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    Poll::Ready(Ok((stream, address)))
}

/// The server's end of a pipe in memory, with a single connection, for commands that open the database themselves
/// and then call its services within the process.
pub(in crate::server) struct Pipe(Option<Accepted>);

impl Pipe {
    /// The server's end, whose peer is the user `uid`, and the client's end.
    pub(in crate::server) fn new(uid: u32) -> (Self, DuplexStream) {
        const BUFFER_BYTES: usize = 64 * 1024;
        let (server, client) = tokio::io::duplex(BUFFER_BYTES);
        let accepted = Accepted::ready(Peer::Local { uid }, server);
        (Self(Some(accepted)), client)
    }
}

impl Transport for Pipe {
    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        // There is never a second one.
        self.0
            .take()
            .map_or(Poll::Pending, |accepted| Poll::Ready(Ok(accepted)))
    }
}
