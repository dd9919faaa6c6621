//! TLS over TCP. The handshake runs in the connection's own task, within its timeout.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
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
    log: Arc<FailureLog>,
}

impl Tls {
    pub(in crate::server) fn new(
        listener: TcpListener,
        certificate: Arc<ServerCertificate>,
    ) -> Self {
        Self {
            listener,
            certificate,
            log: Arc::default(),
        }
    }
}

impl Transport for Tls {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, address) = ready!(poll_tcp(&self.listener, cx))?;
        let (config, log) = (self.certificate.config(), Arc::clone(&self.log));
        Poll::Ready(Ok(Accepted {
            peer: Peer::Tls(address),
            handshake: Box::pin(handshake(stream, address, config, log)),
        }))
    }
}

async fn handshake(
    mut stream: TcpStream,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    log: Arc<FailureLog>,
) -> io::Result<Established> {
    let mut first = [0];
    let is_tls = match stream.peek(&mut first).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => first == [HANDSHAKE],
    };
    if !is_tls {
        let error = io::Error::other("the peer does not speak TLS");
        log.write(peer, &error);
        say_https(&mut stream).await?;
        return Err(error);
    }
    let accepted = TlsAcceptor::from(config).accept(stream).into_fallible();
    let mut stream = match accepted.await {
        Ok(stream) => stream,
        Err((error, mut stream)) => {
            log.write(peer, &error);
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
    use super::*;

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
