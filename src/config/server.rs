//! The settings of the listener and the edge.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use http::HeaderName;
use ipnet::IpNet;

use super::{SettingsConflict, values};
use crate::server::{
    ListenAddress, LogRequests, PublicUrl, ServerOptions, TlsOptions, limits::Limits,
};

/// Where to listen.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct ListenArgs {
    /// The address and port to listen on; port 0 picks a free port. Or unix:PATH for a Unix socket, to which its owner
    /// and group may connect, or systemd for the sockets that it passes. May be repeated; in the environment, separated
    /// by commas.
    #[arg(
        long,
        env,
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:8080"
    )]
    #[arg(value_parser = values::listen_address)]
    pub listen: Vec<ListenAddress>,
}

/// Whether to speak TLS.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct TlsArgs {
    /// A PEM file with the server's certificate, followed by those of intermediate authorities. The server then speaks
    /// HTTPS. The file is read again when it changes, and on SIGHUP. Not set: HTTP.
    #[arg(long, env, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of --tls-cert, which other users must not be able to read.
    #[arg(long, env, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// A PEM file with certificate authorities. Every client must present a certificate that one of them has issued;
    /// its subject is in the access log. Not set: clients are not asked for certificates.
    #[arg(long, env, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// What the server needs for TLS; `None`: it speaks plain HTTP.
    ///
    /// # Errors
    /// One of the settings needs another one.
    pub fn options(&self) -> Result<Option<TlsOptions>, SettingsConflict> {
        let needs = |setting, needed| Err(SettingsConflict::Missing { setting, needed });
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(certificate), Some(key), client_ca) => Ok(Some(TlsOptions {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
                reload: Arc::default(),
            })),
            (Some(_), None, _) => needs("tls-cert", "tls-key"),
            (None, Some(_), _) => needs("tls-key", "tls-cert"),
            (None, None, Some(_)) => needs("tls-client-ca", "tls-cert"),
            (None, None, None) => Ok(None),
        }
    }
}

/// Where to listen, which peers to trust, and how much to accept.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Whether to speak TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// The address and port to serve /metrics on, for Prometheus. It asks for no credential: choose one that only the
    /// operator's network reaches. Not set: no metrics are served.
    #[arg(long, env, value_name = "ADDRESS:PORT", value_parser = values::socket_address)]
    pub metrics_listen: Option<SocketAddr>,

    /// The URL by which clients reach this server, including a path if there is one, such as
    /// `https://tokens.example.com`. It is the OAuth issuer, and all URLs in responses begin with it. Not set: the Host
    /// header of each request, which its sender may make up.
    #[arg(long, env, value_name = "URL", value_parser = PublicUrl::parse)]
    pub public_url: Option<PublicUrl>,

    /// An origin whose pages may call this server, such as `https://console.example.com`, or * for all. May be
    /// repeated; in the environment, separated by commas. Not set: only the server's own origin.
    #[arg(long, env, value_name = "ORIGIN", value_delimiter = ',', value_parser = values::origin)]
    pub cors_origin: Vec<String>,

    /// A request header that pages from those origins may send, such as x-tenant, in addition to those of the protocols
    /// and of tracing (traceparent, tracestate, baggage, sentry-trace). May be repeated; in the environment, separated
    /// by commas.
    #[arg(long, env, value_name = "NAME", value_delimiter = ',', value_parser = values::cors_header)]
    pub cors_header: Vec<HeaderName>,

    /// A network of reverse proxies whose X-Forwarded-For header is trusted, such as 10.0.0.0/8. May be repeated; in
    /// the environment, separated by commas. Not set: the header is ignored.
    #[arg(long, env, value_name = "CIDR", value_delimiter = ',', value_parser = values::network)]
    pub trusted_proxy: Vec<IpNet>,

    /// The maximum size of a message after decompression, in bytes or such as 64KiB.
    #[arg(long, env, value_name = "SIZE", default_value = "65536")]
    #[arg(value_parser = values::size_bytes)]
    pub max_body_bytes: usize,

    /// The maximum duration of a request.
    #[arg(long, env, value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = values::duration)]
    pub handler_timeout: Duration,

    /// How long a connection may stay open without a request; over HTTP/2 it is closed with GOAWAY. Give a reverse
    /// proxy a shorter timeout for its idle connections, or it may send a request on one that is just being closed.
    #[arg(long, env, value_name = "DURATION", default_value = "1m")]
    #[arg(value_parser = values::duration)]
    pub idle_timeout: Duration,

    /// The maximum number of open connections. Half of them may come from one network (/24, /48), unless it is one of
    /// --trusted-proxy.
    #[arg(long, env, value_name = "NUMBER", default_value = "1024")]
    #[arg(value_parser = values::number(1..=u32::MAX))]
    pub max_connections: u32,
}

impl ServerArgs {
    /// The server's options.
    ///
    /// # Errors
    /// Two of these settings exclude each other.
    pub fn options(&self) -> Result<ServerOptions, SettingsConflict> {
        let listen = self.listen.listen.clone();
        let is_taken = |metrics: &SocketAddr| {
            let mut listen = listen.iter();
            listen
                .any(|listen| matches!(listen, ListenAddress::Tcp(tcp) if overlap(*tcp, *metrics)))
        };
        if let Some(metrics) = self.metrics_listen.filter(is_taken) {
            return Err(SettingsConflict::Address { metrics });
        }
        Ok(ServerOptions {
            listen,
            tls: self.tls.options()?,
            control_socket: None,
            metrics_listen: self.metrics_listen,
            public_url: self.public_url.clone(),
            cors_origins: self.cors_origin.clone(),
            cors_headers: self.cors_header.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            log_requests: LogRequests::default(),
            limits: Limits {
                max_body_bytes: self.max_body_bytes,
                handler_timeout: self.handler_timeout,
                idle_timeout: self.idle_timeout,
                max_connections: usize::try_from(self.max_connections).unwrap_or(usize::MAX),
                ..Limits::default()
            },
        })
    }
}

/// Whether both take the same port of the same address. Port 0 is a different port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` accepts IPv4 connections as well.
    let covers = |one: IpAddr, other: IpAddr| {
        one == other || (one.is_unspecified() && (one.is_ipv6() || other.is_ipv4()))
    };
    let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() != 0 && a.port() == b.port() && (covers(one, other) || covers(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_of_one_address_is_for_one_listener() {
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(
                overlap(a.parse().unwrap(), b.parse().unwrap()),
                expected,
                "{a} {b}"
            );
        }
    }
}
