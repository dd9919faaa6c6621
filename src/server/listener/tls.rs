//! TLS over TCP. The handshake runs in the connection's own task, within its timeout.

use std::{
    collections::HashSet,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    num::NonZero,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, ServerConnection},
};
use x509_cert::{Certificate, der::Decode as _};

use super::{
    Accepted, ClientCertificate, Peer, Transport,
    transport::{Established, poll_tcp},
};
use crate::{domain::audit::escape_user_agent, server::server_certificate::ServerCertificate};

/// First byte of a TLS handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// How much is encrypted for a peer that does not read it, beyond what the kernel holds.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Failed handshakes that are logged in [`LOG_INTERVAL`].
const MAX_LOGGED: usize = 16;
const LOG_INTERVAL: Duration = Duration::from_mins(1);

pub(in crate::server) struct Tls {
    listener: TcpListener,
    certificate: Arc<ServerCertificate>,
    shared: Arc<Shared>,
}

/// What the handshakes of a listener share.
#[derive(Debug)]
struct Shared {
    /// A permit for each handshake that computes. A signature takes milliseconds with a large RSA key, so a flood of
    /// handshakes would else have all threads, and requests on open connections none.
    computing: Semaphore,
    log: FailureLog,
}

impl Shared {
    fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            computing: Semaphore::new((cores / 2).max(1)),
            log: FailureLog::default(),
        }
    }
}

impl Tls {
    pub(in crate::server) fn new(
        listener: TcpListener,
        certificate: Arc<ServerCertificate>,
    ) -> Self {
        Self {
            listener,
            certificate,
            shared: Arc::new(Shared::new()),
        }
    }
}

impl Transport for Tls {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, address) = ready!(poll_tcp(&self.listener, cx))?;
        let (config, shared) = (self.certificate.config(), Arc::clone(&self.shared));
        Poll::Ready(Ok(Accepted {
            peer: Peer::Tls(address),
            handshake: Box::pin(handshake(stream, address, config, shared)),
        }))
    }
}

async fn handshake(
    mut stream: TcpStream,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    shared: Arc<Shared>,
) -> io::Result<Established> {
    let mut first = [0];
    let is_tls = match stream.peek(&mut first).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => first == [HANDSHAKE],
    };
    if !is_tls {
        let error = io::Error::other("the peer does not speak TLS");
        shared.log.write(peer, &error);
        say_https(&mut stream).await?;
        return Err(error);
    }
    let accept = TlsAcceptor::from(config).accept(stream).into_fallible();
    let mut stream = match in_steps(accept, &shared.computing).await {
        Ok(stream) => stream,
        Err((error, mut stream)) => {
            shared.log.write(peer, &error);
            // The client was told why by an alert.
            close(&mut stream).await?;
            return Err(error);
        }
    };
    stream.get_mut().1.set_buffer_limit(Some(SEND_BUFFER_BYTES));
    let client_certificate = subject(stream.get_ref().1);
    Ok(Established {
        stream: Box::new(stream),
        client_certificate,
    })
}

/// Completes `future` and has a permit whenever it computes, but not while it waits for the peer.
async fn in_steps<F: Future>(future: F, permits: &Semaphore) -> F::Output {
    let mut future = pin!(future);
    loop {
        let permit = permits.acquire().await;
        let step = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        drop(permit);
        if let Poll::Ready(output) = step {
            return output;
        }
        // That poll has registered this task to be woken.
        let mut is_woken = false;
        poll_fn(|_| {
            if std::mem::replace(&mut is_woken, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// Tells a client that speaks plain HTTP what is wrong. It is not redirected: its next request would send a token in
/// plain text as well.
async fn say_https(stream: &mut TcpStream) -> io::Result<()> {
    let response = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
        content-length: 39\r\nconnection: close\r\n\r\nthis server speaks HTTPS: use https://\n";
    // Unread input would reset the connection before the response is read.
    let mut unread = [0; 256];
    drop(stream.try_read(&mut unread));
    stream.write_all(response).await?;
    close(stream).await
}

/// Closes a connection once the peer has: what it still sends would reset the connection before it has read all.
async fn close(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 256];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// The subject of the client's certificate (RFC 4514), which rustls has verified.
fn subject(session: &ServerConnection) -> Option<ClientCertificate> {
    let certificate = session.peer_certificates()?.first()?;
    let subject = match Certificate::from_der(certificate) {
        Ok(certificate) => certificate.tbs_certificate().subject().to_string(),
        Err(_) => "unreadable".to_owned(),
    };
    Some(ClientCertificate(escape_user_agent(&subject).into()))
}

/// Logs why handshakes failed. Anyone can cause that, so in each interval it is the first failure of a kind of each of
/// the first peers.
#[derive(Debug, Default)]
struct FailureLog(Mutex<Interval>);

#[derive(Debug, Default)]
struct Interval {
    began: Option<Instant>,
    logged: HashSet<(FailureKind, IpAddr)>,
    /// Failures that were not logged, since the last one that was.
    omitted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FailureKind {
    /// The client has no certificate, or one that is refused.
    ClientCertificate,
    Other,
}

impl FailureKind {
    fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::ClientCertificate
            }
            _ => Self::Other,
        }
    }
}

impl Interval {
    /// How many failures were omitted before this one; `None`: this one is omitted, too.
    fn admit(&mut self, kind: FailureKind, peer: IpAddr) -> Option<u64> {
        if self.began.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.began = Some(Instant::now());
            self.logged.clear();
        }
        if self.logged.len() < MAX_LOGGED && self.logged.insert((kind, peer)) {
            return Some(std::mem::take(&mut self.omitted));
        }
        self.omitted += 1;
        None
    }
}

impl FailureLog {
    fn write(&self, peer: SocketAddr, error: &io::Error) {
        let kind = FailureKind::of(error);
        let mut interval = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(omitted) = interval.admit(kind, peer.ip()) else {
            return;
        };
        drop(interval);
        match kind {
            FailureKind::ClientCertificate => {
                tracing::warn!(%peer, %error, omitted, "a client was refused by its TLS certificate");
            }
            FailureKind::Other => tracing::info!(%peer, %error, omitted, "a TLS handshake failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn step_waits_for_a_permit_and_waiting_for_the_peer_takes_none() {
        let permits = Semaphore::new(1);
        let (send, receive) = oneshot::channel();
        let mut waiting = pin!(in_steps(receive, &permits));
        assert!(waiting.as_mut().now_or_never().is_none());
        let held = permits.try_acquire().expect("it waits for its peer");
        send.send(7).unwrap();
        assert!(waiting.as_mut().now_or_never().is_none(), "no permit");
        drop(held);
        assert_eq!(waiting.await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn log_of_failures_is_bounded_and_no_peer_hides_another() {
        let mut log = Interval::default();
        let peer = |n: u8| IpAddr::from([192, 0, 2, n]);
        assert_eq!(log.admit(FailureKind::Other, peer(1)), Some(0));
        assert_eq!(log.admit(FailureKind::Other, peer(1)), None);
        assert_eq!(log.admit(FailureKind::ClientCertificate, peer(1)), Some(1));
        assert_eq!(log.admit(FailureKind::ClientCertificate, peer(2)), Some(0));
        let logged = (3..=255).filter(|n| log.admit(FailureKind::Other, peer(*n)).is_some());
        assert_eq!(logged.count(), MAX_LOGGED - 3);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(log.admit(FailureKind::Other, peer(1)), Some(253 - 13));
    }
}
