//! The addresses that the server listens on for calls: TCP, Unix sockets, and what systemd hands over.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    task::{Context, Poll, ready},
};

use listenfd::ListenFd;
use rustix::fs::Mode;
use tokio::net::{TcpListener, UnixListener};

use super::{
    BindError, control_socket,
    listener::{Accepted, Peer, Tls, Transport},
    server_certificate::ServerCertificate,
};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The sockets that systemd has opened (`sd_listen_fds(3)`).
    Systemd,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() && !path.ends_with('/') => Ok(Self::Unix(path.into())),
            None if text == "systemd" => Ok(Self::Systemd),
            _ => text.parse().map(Self::Tcp).map_err(|_| {
                "must be an address and a port, such as 127.0.0.1:8080 or [::]:8080, unix:PATH, or systemd"
                    .to_owned()
            }),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixSocket),
}

impl Bound {
    pub(super) fn transport(
        self,
        certificate: Option<&Arc<ServerCertificate>>,
    ) -> Box<dyn Transport> {
        match (self, certificate) {
            (Self::Tcp(listener, _), Some(certificate)) => {
                Box::new(Tls::new(listener, Arc::clone(certificate)))
            }
            (Self::Tcp(listener, _), None) => Box::new(listener),
            (Self::Unix(socket), _) => Box::new(socket),
        }
    }

    pub(super) fn url(&self, is_tls: bool) -> String {
        match self {
            Self::Tcp(_, address) if is_tls => format!("https://{address}"),
            Self::Tcp(_, address) => format!("http://{address}"),
            Self::Unix(socket) => format!("unix:{}", socket.path.display()),
        }
    }
}

/// Listens on all of `addresses`, of which `systemd` stands for those in `inherited`.
pub(super) async fn bind(
    addresses: &[ListenAddress],
    inherited: &mut ListenFd,
) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |error| BindError::new(address.to_string(), error);
        match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                bound.push(tcp(listener).map_err(failed)?);
            }
            ListenAddress::Unix(path) => {
                bound.push(Bound::Unix(UnixSocket::bind(path).map_err(failed)?));
            }
            ListenAddress::Systemd => bound.extend(take_all(inherited).map_err(failed)?),
        }
    }
    Ok(bound)
}

fn tcp(listener: TcpListener) -> io::Result<Bound> {
    let address = listener.local_addr()?;
    Ok(Bound::Tcp(listener, address))
}

fn take_all(inherited: &mut ListenFd) -> io::Result<Vec<Bound>> {
    if inherited.len() == 0 {
        return Err(io::Error::other(
            "systemd has passed no sockets (LISTEN_FDS)",
        ));
    }
    (0..inherited.len())
        .map(|index| take(inherited, index))
        .collect()
}

fn take(inherited: &mut ListenFd, index: usize) -> io::Result<Bound> {
    let taken = || io::Error::other("systemd's sockets were taken already");
    if let Ok(listener) = inherited.take_tcp_listener(index) {
        let listener = listener.ok_or_else(taken)?;
        listener.set_nonblocking(true)?;
        return tcp(TcpListener::from_std(listener)?);
    }
    let listener = inherited.take_unix_listener(index)?.ok_or_else(taken)?;
    listener.set_nonblocking(true)?;
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
    Ok(Bound::Unix(UnixSocket {
        listener: UnixListener::from_std(listener)?,
        path: path.unwrap_or_default(),
        is_ours: false,
    }))
}

/// A Unix socket whose peers are strangers, unlike the control socket's: they need a credential. They count as
/// 127.0.0.1, since a reverse proxy on this machine is usually among them.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Whether the file is removed with the listener.
    is_ours: bool,
}

impl UnixSocket {
    /// Its owner and group may connect.
    fn bind(path: &Path) -> io::Result<Self> {
        if control_socket::is_taken(path)? {
            match StdUnixStream::connect(path) {
                Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
                // Of a server that has gone.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)?;
                }
                Err(error) => return Err(error),
            }
        }
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
        Ok(Self {
            listener: control_socket::listen_at(path, mode)?,
            path: path.to_owned(),
            is_ours: true,
        })
    }
}

impl Transport for UnixSocket {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        let peer = Peer::Network((Ipv4Addr::LOCALHOST, 0).into());
        Poll::Ready(Ok(Accepted::ready(peer, stream)))
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.is_ours {
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn listen_address_is_tcp_a_path_or_systemd() {
        for text in ["127.0.0.1:0", "[::]:8080", "unix:a.sock", "systemd"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for bad in ["", "8080", "unix:", "unix:/tmp/", "localhost:80", "Systemd"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn socket_file_is_for_owner_and_group_and_replaced_only_when_its_server_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let socket = UnixSocket::bind(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        let error = UnixSocket::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(UnixSocket::bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        assert!(UnixSocket::bind(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
