//! TLS over TCP. The handshake runs in the connection's own task, within its timeout.

use std::{
    io,
    net::SocketAddr,
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
    rustls::{ServerConfig, ServerConnection},
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

/// How often failed handshakes are logged: anyone can cause them.
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
    let accepted = TlsAcceptor::from(config).accept(stream).await;
    let mut stream = accepted.inspect_err(|error| log.write(peer, error))?;
    stream.get_mut().1.set_buffer_limit(Some(SEND_BUFFER_BYTES));
    let client_certificate = subject(stream.get_ref().1);
    Ok(Established {
        stream: Box::new(stream),
        client_certificate,
    })
}

/// Tells a client that speaks plain HTTP what is wrong, and waits until it has read that.
async fn say_https(stream: &mut TcpStream) -> io::Result<()> {
    let response = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
        content-length: 39\r\nconnection: close\r\n\r\nthis server speaks HTTPS: use https://\n";
    // Unread input would reset the connection before the response is read.
    let mut unread = [0; 4096];
    drop(stream.try_read(&mut unread));
    stream.write_all(response).await?;
    stream.shutdown().await?;
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

/// Logs failed handshakes, at most one a minute.
#[derive(Debug, Default)]
struct FailureLog(Mutex<LastLogged>);

#[derive(Debug, Default)]
struct LastLogged {
    at: Option<Instant>,
    /// Failures since then that were not logged.
    omitted: u64,
}

impl FailureLog {
    fn write(&self, peer: SocketAddr, error: &io::Error) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            last.omitted += 1;
            return;
        }
        let omitted = std::mem::take(&mut last.omitted);
        last.at = Some(Instant::now());
        drop(last);
        tracing::info!(%peer, %error, omitted, "a TLS handshake failed; others within a minute are only counted");
    }
}
