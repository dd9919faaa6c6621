//! Every bound that a request or a connection can run into, in one place.
//!
//! The values are DESIGN.md's; tests and the conformance server inject others. Nothing here enforces:
//! each bound names where it is kept.

use std::time::Duration;

use ipnet::IpNet;

/// The bounds of the server. All sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest message, after decompression, and the largest body of a web request.
    pub max_body_bytes: usize,
    /// The largest sum of the names and values of a request's header fields.
    pub max_header_bytes: usize,
    /// The most header fields of a request.
    pub max_header_fields: usize,
    /// The largest sum of the names and values of the header fields of a request on whose behalf a proxy asks: it
    /// hands on what a browser sends, with all cookies.
    pub max_forwarded_header_bytes: usize,
    /// The most header fields of such a request.
    pub max_forwarded_header_fields: usize,
    /// The longest request target.
    pub max_uri_bytes: usize,
    /// The time in which a new connection must send its first byte.
    pub first_byte_timeout: Duration,
    /// The time from the first byte of an HTTP/1 request to the end of its header, and from the first byte
    /// of an HTTP/2 connection to its first request.
    pub header_timeout: Duration,
    /// The time from the end of the header to the end of the body.
    pub body_timeout: Duration,
    /// The time that a call may take, its body's arrival included; a client may ask for less.
    pub handler_timeout: Duration,
    /// The time that a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// The time for which a client may refuse to take bytes that are ready for it.
    pub write_timeout: Duration,
    /// The most connections at a time.
    pub max_connections: usize,
    /// How many of them may come from one network (/24, /48); `None`: half of them.
    pub max_connections_per_network: Option<usize>,
    /// Networks of reverse proxies, which stand for many clients: their connections are not counted for a network.
    pub uncounted_networks: Vec<IpNet>,
    /// The most HTTP/2 streams of a connection at a time.
    pub max_streams: u32,
    /// The most streams at a time that show no credential: health's Watch, and reflection.
    pub max_anonymous_streams: usize,
    /// How many of them may be one network's (/24, /48).
    pub max_anonymous_streams_per_network: usize,
    /// How long such a stream may last.
    pub anonymous_stream_timeout: Duration,
    /// How long something must have lasted without a credential to be ended for the sake of something new: what is
    /// honest is mostly over by then.
    pub eviction_min_age: Duration,
    /// The time from the end of the header to the end of the body on a connection on which nobody has been
    /// authenticated yet.
    pub anonymous_body_timeout: Duration,
    /// How many of their bodies may be on their way at a time.
    pub max_anonymous_bodies: usize,
    /// How many of those may be one network's (/24, /48).
    pub max_anonymous_bodies_per_network: usize,
    /// What the requests of a connection may hold in memory, heads and bodies, without drawing on a budget.
    pub connection_memory_bytes: usize,
    /// The budget of all connections on which nobody has been authenticated. At least four of the largest bodies
    /// fit into either budget.
    pub anonymous_memory_bytes: usize,
    /// The further budget of those on which somebody has.
    pub authenticated_memory_bytes: usize,
    /// How much an HTTP/2 client may send before it is read: of one stream, and of all its streams.
    pub http2_window_bytes: u32,
    /// How much of a refused request's body is read, so that the client sees the refusal.
    pub drain_bytes: usize,
    /// For how long a refused request's body is read.
    pub drain_timeout: Duration,
    /// The time for which the answer to a proxy, that asks on behalf of another request, waits for the body
    /// that was sent along: a body that is here by then does not cost the connection.
    pub sent_along_timeout: Duration,
    /// The time in which the store must answer for the server to be ready.
    pub ready_timeout: Duration,
    /// Replies shorter than this are not compressed: it would cost more than it saves.
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
            // The least that HTTP/2 knows for a connection (RFC 9113, 6.9.2).
            http2_window_bytes: 65_535,
            drain_bytes: 8 * 1024 * 1024,
            drain_timeout: Duration::from_secs(2),
            sent_along_timeout: Duration::from_millis(20),
            ready_timeout: Duration::from_secs(2),
            compress_min_bytes: 1024,
        }
    }
}

impl Limits {
    /// How many connections may come from one network.
    pub fn connections_per_network(&self) -> usize {
        self.max_connections_per_network
            .unwrap_or_else(|| self.max_connections.div_ceil(2))
    }
}
