//! 2,000 peers that hold a connection and do as little with it as possible. They are closed within 20 s, and
//! others are served meanwhile; `axum::serve`, the control, keeps them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    Router,
    routing::{get, post},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    CURRENT_USER,
    http1::Http1,
    http2::{END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, fields, frame},
    message_format::{MessageFormat, verdict},
    process::Process,
};

const OF_EACH_KIND: usize = 400;

const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// The limit for ordinary requests. If a server without slow peers takes longer at the same time, the machine is
/// busy, and its p99 is the limit.
const P99: Duration = Duration::from_millis(50);

/// After every five connections, so that all are open in a second or two.
const CONNECT_INTERVAL: Duration = Duration::from_millis(3);

const DRIP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum SlowPeer {
    Silent,
    DrippingHeader,
    DrippingBody,
    /// Requests more than the kernel's buffers hold, and reads nothing. That costs the server work, so there are
    /// few of these.
    StalledHttp1,
    /// Sends one request with a flow-control window of zero.
    StalledHttp2,
    IdleHttp2,
}

/// All kinds in rotation. One in forty of the stalled readers speaks HTTP/1.1.
fn kinds() -> impl Iterator<Item = [SlowPeer; 5]> {
    (0..OF_EACH_KIND).map(|turn| {
        let stalled = if turn % 40 == 0 {
            SlowPeer::StalledHttp1
        } else {
            SlowPeer::StalledHttp2
        };
        [
            SlowPeer::Silent,
            SlowPeer::DrippingHeader,
            SlowPeer::DrippingBody,
            stalled,
            SlowPeer::IdleHttp2,
        ]
    })
}

impl SlowPeer {
    /// The first bytes that a peer sends.
    fn opening(self, token: &str) -> Vec<u8> {
        match self {
            Self::Silent => vec![],
            Self::DrippingHeader => b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec(),
            Self::DrippingBody => format!(
                "POST {CURRENT_USER} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{{"
            )
            .into_bytes(),
            Self::StalledHttp1 => b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1_000),
            Self::StalledHttp2 => {
                let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
                let get = fields(&[
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", "h"),
                    (":path", "/"),
                ]);
                let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get);
                [PREFACE, &no_window, &get].concat()
            }
            Self::IdleHttp2 => [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat(),
        }
    }

    /// The bytes that a peer sends repeatedly.
    fn drip(self) -> Vec<u8> {
        match self {
            Self::Silent => vec![],
            Self::DrippingHeader | Self::DrippingBody | Self::StalledHttp1 => b" ".to_vec(),
            Self::StalledHttp2 | Self::IdleHttp2 => frame(PING, 0, 0, &[0; 8]),
        }
    }

    async fn open(self, server: SocketAddr, token: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        if self == Self::StalledHttp1 {
            socket.set_recv_buffer_size(2 * 1024).unwrap();
        }
        let mut stream = socket.connect(server).await.unwrap();
        // It may be closed again by now.
        drop(stream.write_all(&self.opening(token)).await);
        stream
    }

    /// Holds the connection until the server closes it.
    async fn hold(self, mut stream: TcpStream) {
        let drip = self.drip();
        if self == Self::StalledHttp1 {
            // It must not read; a failing write shows that the connection is closed.
            while stream.write_all(&drip).await.is_ok() {
                sleep(DRIP_INTERVAL).await;
            }
            return;
        }
        let (mut reader, mut writer) = stream.split();
        let dripping = async {
            while writer.write_all(&drip).await.is_ok() {
                sleep(DRIP_INTERVAL).await;
            }
        };
        let closed = async {
            let mut buffer = [0; 1024];
            while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        };
        tokio::select! {
            () = dripping => {}
            () = closed => {}
        }
    }
}

/// Opens all slow sockets. A task that still runs holds an open one.
async fn open_all(server: SocketAddr, token: &str) -> JoinSet<SlowPeer> {
    let mut held = JoinSet::new();
    for kinds in kinds() {
        for kind in kinds {
            let stream = kind.open(server, token).await;
            held.spawn(async move {
                kind.hold(stream).await;
                kind
            });
        }
        // Staggered, since here they share the machine with the server.
        sleep(CONNECT_INTERVAL).await;
    }
    held
}

/// Durations of ordinary requests, alternating between a new and a kept connection.
struct OrdinaryClient {
    server: SocketAddr,
    request: http::Request<bytes::Bytes>,
    kept: Http1,
    times: Vec<Duration>,
}

impl OrdinaryClient {
    async fn new(server: SocketAddr, token: &str) -> Self {
        Self {
            server,
            request: MessageFormat::JSON.request(CURRENT_USER, token, b"{}"),
            kept: Http1::connect(server).await,
            times: vec![],
        }
    }

    async fn ask(&mut self) {
        let start = Instant::now();
        let reply = if self.times.len().is_multiple_of(2) {
            Http1::connect(self.server).await.ask(&self.request).await
        } else {
            self.kept.ask(&self.request).await
        };
        self.times.push(start.elapsed());
        assert_eq!(verdict(&reply.expect("closed")), "ok");
        sleep(Duration::from_millis(10)).await;
    }

    fn p99(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times[self.times.len() * 99 / 100]
    }
}

fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, all).unwrap();
}

/// `axum::serve` with a page of the same size and a route that reads a body.
async fn control() -> SocketAddr {
    let page = include_str!("../../../static/index.html");
    let router = Router::new()
        .route("/", get(async move || page))
        .route(CURRENT_USER, post(async |body: String| body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_sockets_are_closed_while_others_are_served() {
    allow_open_files();
    let attacked = Process::start(&["--log-level=warn"]);
    let quiet = Process::start(&["--log-level=warn"]);
    let kept_by_axum = open_all(control().await, &attacked.token).await;
    let mut ordinary = OrdinaryClient::new(attacked.address, &attacked.token).await;
    let mut undisturbed = OrdinaryClient::new(quiet.address, &quiet.token).await;

    let (address, token) = (attacked.address, attacked.token.clone());
    let opening = tokio::spawn(async move { open_all(address, &token).await });
    while !opening.is_finished() {
        ordinary.ask().await;
        undisturbed.ask().await;
    }
    let mut held = opening.await.unwrap();
    let start = Instant::now();
    let mut last = start;
    while start.elapsed() < CLOSED_WITHIN && !held.is_empty() {
        ordinary.ask().await;
        undisturbed.ask().await;
        while held.try_join_next().is_some() {
            last = Instant::now();
        }
    }
    let asked = ordinary.times.len();
    let (busy, quiet) = (ordinary.p99(), undisturbed.p99());
    let open = held.len();
    held.abort_all();
    assert_eq!(open, 0, "still open after {CLOSED_WITHIN:?}");
    let closed = last.duration_since(start);
    let still = still_open(kept_by_axum, CLOSED_WITHIN.saturating_sub(start.elapsed())).await;
    #[expect(clippy::print_stdout, reason = "shown where a test fails or is asked")]
    {
        println!(
            "closed after {closed:?}; p99 of {asked} requests {busy:?}, of a server without slow sockets \
             {quiet:?}; axum::serve keeps {still}"
        );
    }
    assert!(
        busy <= P99.max(quiet * 2),
        "{busy:?}, without slow sockets {quiet:?}"
    );
    assert!(
        still >= OF_EACH_KIND * 5 * 3 / 4,
        "the control closed all but {still}"
    );
}

/// How many are still open after this time.
async fn still_open(mut held: JoinSet<SlowPeer>, after: Duration) -> usize {
    drop(timeout(after, async { while held.join_next().await.is_some() {} }).await);
    let open = held.len();
    held.abort_all();
    open
}
