//! The settings of the listener and the edge.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, value_parser};
use ipnet::IpNet;

use super::values;
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

    /// How many connections may be open at once.
    #[arg(
        long,
        env = "HALLPASS_MAX_CONNECTIONS",
        hide_env_values = true,
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub max_connections: u32,
}

impl ServerArgs {
    /// The server's options.
    pub fn options(&self) -> ServerOptions {
        ServerOptions {
            listen: self.listen.listen,
            control_socket: None,
            metrics_listen: self.metrics_listen,
            public_url: self.public_url.clone(),
            cors_origins: self.cors_origin.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            log_requests: LogRequests::default(),
            limits: Limits {
                max_body_bytes: self.max_body_bytes,
                handler_timeout: self.handler_timeout,
                max_connections: usize::try_from(self.max_connections).unwrap_or(usize::MAX),
                ..Limits::default()
            },
        }
    }
}
