//! The settings of the listener and the edge.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::Args;
use http::HeaderName;
use ipnet::IpNet;

use super::{contradiction::Contradiction, number::number, values};
use crate::server::{LogRequests, PublicUrl, ServerOptions, limits::Limits};

/// Where to listen.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct ListenArgs {
    /// The address and port to listen on; port 0 takes a free one.
    #[arg(
        long,
        env = "HALLPASS_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        value_parser = values::socket_address
    )]
    pub listen: SocketAddr,
}

/// Where to listen, whom to believe and how much to take in.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,

    /// The address and port to serve /metrics on, for Prometheus: for the operator's network, it asks for no
    /// credential. Not set: nowhere.
    #[arg(
        long,
        env = "HALLPASS_METRICS_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        value_parser = values::socket_address
    )]
    pub metrics_listen: Option<SocketAddr>,

    /// The address that clients know this server by, such as `https://tokens.example.com`, a path in it too: OAuth's
    /// issuer, and what all addresses in answers begin with. Not set: the Host of each request, which its sender
    /// may make up.
    #[arg(
        long,
        env = "HALLPASS_PUBLIC_URL",
        hide_env_values = true,
        value_name = "URL",
        value_parser = PublicUrl::parse
    )]
    pub public_url: Option<PublicUrl>,

    /// An origin that browsers may call from, such as `https://console.example.com`, or *. May be repeated;
    /// in the environment, separated by commas. Not set: the server's own origin only.
    #[arg(
        long,
        env = "HALLPASS_CORS_ORIGIN",
        hide_env_values = true,
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = values::origin
    )]
    pub cors_origin: Vec<String>,

    /// A request header that pages of those origins may send, beside those of the protocols and of tracing
    /// (traceparent, tracestate, baggage, sentry-trace), such as x-tenant. May be repeated; in the environment,
    /// separated by commas.
    #[arg(
        long,
        env = "HALLPASS_CORS_HEADER",
        hide_env_values = true,
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = values::cors_header
    )]
    pub cors_header: Vec<HeaderName>,

    /// A network of reverse proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8. May be repeated;
    /// in the environment, separated by commas. Not set: the header is ignored.
    #[arg(
        long,
        env = "HALLPASS_TRUSTED_PROXY",
        hide_env_values = true,
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = values::network
    )]
    pub trusted_proxy: Vec<IpNet>,

    /// The size of the largest message, after decompression: bytes, or such as 64KiB.
    #[arg(
        long,
        env = "HALLPASS_MAX_BODY_BYTES",
        hide_env_values = true,
        value_name = "SIZE",
        default_value = "65536",
        value_parser = values::size_bytes
    )]
    pub max_body_bytes: usize,

    /// How long a request may take.
    #[arg(
        long,
        env = "HALLPASS_HANDLER_TIMEOUT",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::duration
    )]
    pub handler_timeout: Duration,

    /// How long a connection may stay open without a request; in HTTP/2 it ends with GOAWAY. Let a proxy in front
    /// give up its idle connections sooner, lest it sends a request on one that is just being closed.
    #[arg(
        long,
        env = "HALLPASS_IDLE_TIMEOUT",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "1m",
        value_parser = values::duration
    )]
    pub idle_timeout: Duration,

    /// How many connections may be open at once. Half of them may come from one network (/24, /48), but for those
    /// of --trusted-proxy.
    #[arg(
        long,
        env = "HALLPASS_MAX_CONNECTIONS",
        hide_env_values = true,
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = number(1..=u32::MAX)
    )]
    pub max_connections: u32,
}

impl ServerArgs {
    /// The server's options.
    ///
    /// # Errors
    /// Two of these settings cannot both be.
    pub fn options(&self) -> Result<ServerOptions, Contradiction> {
        let listen = self.listen.listen;
        match self.metrics_listen {
            Some(metrics) if overlap(listen, metrics) => {
                return Err(Contradiction::Address { metrics });
            }
            _ => {}
        }
        Ok(ServerOptions {
            listen,
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

/// Whether both would take the same port of the same address. 0 is another port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` takes IPv4's connections too.
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
