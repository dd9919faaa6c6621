//! All limits on requests and connections, in one place.
//!
//! The defaults are those of DESIGN.md; tests and the conformance server use others. Nothing is enforced here.

use std::time::Duration;

use ipnet::IpNet;

/// Limits of the server. All sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum size of a message after decompression, and of the body of a web request.
    pub max_body_bytes: usize,
    /// Maximum total size of the names and values of a request's header fields.
    pub max_header_bytes: usize,
    /// Maximum number of header fields.
    pub max_header_fields: usize,
    /// Maximum total size of header fields at forward-auth, where a proxy passes on whatever a browser sent, with
    /// all cookies.
    pub max_forwarded_header_bytes: usize,
    /// Maximum number of header fields at forward-auth.
    pub max_forwarded_header_fields: usize,
    /// Maximum length of the request target.
    pub max_uri_bytes: usize,
    /// Time for the handshake of a transport that has one.
    pub handshake_timeout: Duration,
    /// Time for a new connection to send its first byte, after the handshake.
    pub first_byte_timeout: Duration,
    /// Time from the first byte of an HTTP/1 request to the end of its header, and from the first byte of an HTTP/2
    /// connection to its first request.
    pub header_timeout: Duration,
    /// Time from the end of the header to the end of the body.
    pub body_timeout: Duration,
    /// Maximum duration of a call, including the arrival of its body; clients may set a shorter one.
    pub handler_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long a client may leave data unread that is ready for it.
    pub write_timeout: Duration,
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of connections per network (/24, /48); `None`: half of all.
    pub max_connections_per_network: Option<usize>,
    /// Networks of reverse proxies, which stand for many clients and are exempt from limits per network.
    pub uncounted_networks: Vec<IpNet>,
    /// Maximum number of concurrent HTTP/2 streams per connection.
    pub max_streams: u32,
    /// Maximum number of anonymous streams: health's Watch, and reflection.
    pub max_anonymous_streams: usize,
    /// Maximum number of these per network (/24, /48).
    pub max_anonymous_streams_per_network: usize,
    /// Maximum duration of an anonymous stream.
    pub anonymous_stream_timeout: Duration,
    /// Minimum age of anonymous work that may be evicted in favour of new work: most honest work is over by then.
    pub eviction_min_age: Duration,
    /// Time from the end of the header to the end of the body, on connections that have not authenticated yet.
    pub anonymous_body_timeout: Duration,
    /// Maximum number of bodies arriving on such connections at a time.
    pub max_anonymous_bodies: usize,
    /// Maximum number of these per network (/24, /48).
    pub max_anonymous_bodies_per_network: usize,
    /// Memory for the requests of one connection, heads and bodies, before it draws on a shared budget.
    pub connection_memory_bytes: usize,
    /// Shared budget of connections that have not authenticated. Either budget is at least four times the largest
    /// body.
    pub anonymous_memory_bytes: usize,
    /// Additional budget for connections that have authenticated.
    pub authenticated_memory_bytes: usize,
    /// HTTP/2 flow-control window, both per stream and per connection.
    pub http2_window_bytes: u32,
    /// How much of a refused request's body is drained, so that the client sees the refusal.
    pub drain_bytes: usize,
    /// How long a refused request's body is drained.
    pub drain_timeout: Duration,
    /// How long forward-auth's answer waits for a body that the proxy sends along: if it arrives by then, the
    /// connection can be kept.
    pub forwarded_body_timeout: Duration,
    /// Time for the store to answer before the server counts as not ready.
    pub ready_timeout: Duration,
    /// Minimum size of a reply that is compressed: below, it would cost more than it saves.
    pub compress_min_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 * 1024,
            max_header_bytes: 16 * 1024,
            max_header_fields: 64,
            max_forwarded_header_bytes: 64 * 1024,
            max_forwarded_header_fields: 200,
            max_uri_bytes: 8 * 1024,
            handshake_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(10),
            max_connections: 1024,
            max_connections_per_network: None,
            uncounted_networks: Vec::new(),
            max_streams: 100,
            max_anonymous_streams: 256,
            max_anonymous_streams_per_network: 128,
            anonymous_stream_timeout: Duration::from_mins(10),
            eviction_min_age: Duration::from_millis(100),
            anonymous_body_timeout: Duration::from_secs(5),
            max_anonymous_bodies: 512,
            max_anonymous_bodies_per_network: 256,
            connection_memory_bytes: 16 * 1024,
            anonymous_memory_bytes: 48 * 1024 * 1024,
            authenticated_memory_bytes: 48 * 1024 * 1024,
            // The minimum for a connection (RFC 9113, 6.9.2).
            http2_window_bytes: 65_535,
            drain_bytes: 8 * 1024 * 1024,
            drain_timeout: Duration::from_secs(2),
            forwarded_body_timeout: Duration::from_millis(20),
            ready_timeout: Duration::from_secs(2),
            compress_min_bytes: 1024,
        }
    }
}

impl Limits {
    /// Maximum number of connections per network.
    pub fn connections_per_network(&self) -> usize {
        self.max_connections_per_network
            .unwrap_or_else(|| self.max_connections.div_ceil(2))
    }
}
