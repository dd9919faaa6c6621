//! The load generator of `hallpass bench` and of benches/load: clients with a connection each, kept open, that send the
//! next request when the last one is answered. How many threads they share is the runtime's choice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::server::Server;

/// Whatever goes wrong ends the measurement.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Connections are made and caches warmed before a measurement begins.
const WARM_UP: Duration = Duration::from_millis(200);
/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests of one kind, which the clients share and send in turn.
#[derive(Debug)]
pub struct Load {
    requests: Vec<Request<Full<Bytes>>>,
    expected: StatusCode,
    next: AtomicUsize,
}

impl Load {
    /// Requests that succeed. There is at least one, and all are of the same HTTP version.
    pub fn new(requests: Vec<Request<Full<Bytes>>>) -> Self {
        Self::expecting(StatusCode::OK, requests)
    }

    /// Requests to which every response has the status `expected`.
    pub const fn expecting(expected: StatusCode, requests: Vec<Request<Full<Bytes>>>) -> Self {
        Self {
            requests,
            expected,
            next: AtomicUsize::new(0),
        }
    }

    /// A client for these requests.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn connect(&self, address: SocketAddr) -> Result<Client> {
        Client::connect(address, self.requests[0].version()).await
    }

    /// Sends the next request.
    ///
    /// # Errors
    /// The response has another status than expected, or does not come.
    pub async fn call(&self, client: &mut Client) -> Result<Bytes> {
        let nth = self.next.fetch_add(1, Relaxed) % self.requests.len();
        client.send(self.requests[nth].clone(), self.expected).await
    }
}

/// A client with an open connection.
#[derive(Debug)]
pub enum Client {
    /// HTTP/1.1.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn connect(address: SocketAddr, version: Version) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        // The next request learns what ended a connection.
        Ok(if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Self::Http1(sender)
        })
    }

    /// Sends a request, and gives the body of the response.
    ///
    /// # Errors
    /// The response has another status than `expected`, or does not come.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        expected: StatusCode,
    ) -> Result<Bytes> {
        let response = async {
            let response = match self {
                Self::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Self::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (parts, body) = response.into_parts();
            Ok::<_, hyper::Error>((parts, body.collect().await?))
        };
        let (parts, body) = timeout(PATIENCE, response).await??;
        let grpc_status = body
            .trailers()
            .or(Some(&parts.headers))
            .and_then(|fields| fields.get("grpc-status"));
        let is_expected =
            parts.status == expected && grpc_status.is_none_or(|status| status == "0");
        let body = body.to_bytes();
        if is_expected {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        Err(format!("{} {:?} {text}", parts.status, parts.headers).into())
    }
}

/// What a measurement showed.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Responses a second.
    pub rate: f64,
    /// The median time to a response, in microseconds.
    pub p50_us: f64,
    /// 99 % of the responses took at most so many microseconds.
    pub p99_us: f64,
    /// CPU time of the server, in microseconds a request, where the system tells it.
    pub cpu_us: Option<f64>,
}

/// Measures `server` for `length`, while `clients` clients send the requests of `load`.
///
/// # Errors
/// A request failed.
pub async fn measure(
    server: &Server,
    load: &Arc<Load>,
    clients: usize,
    length: Duration,
) -> Result<Measurement> {
    let connect = (0..clients).map(|_| load.connect(server.address));
    let connected = try_join_all(connect).await?;
    let begin = Instant::now() + WARM_UP;
    let mut calls = JoinSet::new();
    for client in connected {
        calls.spawn(call_until(client, Arc::clone(load), begin, begin + length));
    }
    sleep_until(begin).await;
    let cpu = server.cpu();
    let mut times = Vec::new();
    while let Some(called) = calls.join_next().await {
        times.extend(called??);
    }
    let elapsed = begin.elapsed();
    let cpu = server.cpu().zip(cpu);
    times.sort_unstable();
    let count = f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX));
    Ok(Measurement {
        rate: count / elapsed.as_secs_f64(),
        p50_us: percentile(&times, 50),
        p99_us: percentile(&times, 99),
        cpu_us: cpu.map(|(after, before)| micros(after.saturating_sub(before)) / count.max(1.0)),
    })
}

/// Calls until `end`. How long those took that began at `begin` or later.
async fn call_until(
    mut client: Client,
    load: Arc<Load>,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(times);
        }
        load.call(&mut client).await?;
        if sent >= begin {
            times.push(sent.elapsed());
        }
    }
}

/// Of sorted times.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().map_or(0.0, micros)
}

/// A time in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
