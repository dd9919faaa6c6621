//! `hallpass healthcheck`: asks the server on this machine, for orchestrators that run a command and have no curl.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio_rustls::rustls::{
    self, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    config::{
        client_tls::ClientCertArgs,
        file::FileArgs,
        server::{ListenArgs, TlsArgs},
    },
    server::{ListenAddress, TlsError, endpoints},
};

use super::{client, exit_code::ExitCode, failure::Failure, output};

/// How long connecting and each read may take.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct Healthcheck {
    /// Ask whether the process is alive (`/healthz`), not whether it is ready (`/readyz`).
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    _file: FileArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    client: ClientCertArgs,
}

pub(super) fn run(args: &Healthcheck) -> Result<(), Failure> {
    let certificate = args.client.files()?;
    if args.tls.tls_client_ca.is_some() && certificate.is_none() {
        return Err(Failure::usage(
            "--tls-client-ca asks for a certificate: give --client-cert and --client-key, or use `hallpass status`, which needs none on this machine",
        ));
    }
    let (path, word) = if args.live {
        (endpoints::HEALTHZ.path, "live")
    } else {
        (endpoints::READYZ.path, "ready")
    };
    let tls = match args.tls.tls_cert {
        Some(_) => Some(Arc::new(tls_config(certificate.as_ref())?)),
        None => None,
    };
    let listen = args.listen.listen.first().expect("it has a default");
    let (url, status) = match listen {
        ListenAddress::Tcp(address) => {
            let address = reachable(*address);
            if address.port() == 0 {
                return Err(Failure::usage(
                    "--listen: give the port that the server listens on, not 0",
                ));
            }
            let scheme = if tls.is_some() { "https" } else { "http" };
            (
                format!("{scheme}://{address}{path}"),
                get(address, path, tls),
            )
        }
        ListenAddress::Unix(socket) => (format!("{listen}:{path}"), get_by_socket(socket, path)),
        ListenAddress::Systemd => {
            return Err(Failure::usage(
                "--listen: give the address that the server listens on, not systemd",
            ));
        }
    };
    match status {
        Ok(200) => Ok(output::line(word)?),
        Ok(status) => Err(not_ready(&format!("{url} responded {status}"))),
        Err(error) => Err(not_ready(&format!("{url} does not respond: {error}"))),
    }
}

fn not_ready(why: &str) -> Failure {
    Failure::new(ExitCode::NotReady, why)
}

/// The address of a server that listens on `listen`, as seen from this machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// The status of the response to a GET of `path`.
fn get(address: SocketAddr, path: &str, tls: Option<Arc<ClientConfig>>) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = request(path, &address.to_string());
    if let Some(tls) = tls {
        let session = ClientConnection::new(tls, address.ip().into());
        let session = session.map_err(io::Error::other)?;
        status(&mut StreamOwned::new(session, stream), &request)
    } else {
        status(&mut stream, &request)
    }
}

fn get_by_socket(socket: &Path, path: &str) -> io::Result<u16> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    status(&mut stream, &request(path, "localhost"))
}

fn request(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

fn status(stream: &mut (impl Read + Write), request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes())?;
    // `HTTP/1.1 200`; the rest is not read.
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status = start
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|status| str::from_utf8(status).ok());
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::other("not an HTTP server"))
}

fn tls_config(certificate: Option<&(PathBuf, PathBuf)>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate));
    client::tls::present(builder, certificate)
}

/// Accepts any certificate: the server's names others than the address on this machine, and the request holds no
/// secret.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
