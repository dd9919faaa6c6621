//! Slow and hostile peers, over real sockets with short timeouts.

use std::{
    net::SocketAddr,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, routing::post};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
};

use super::{transport::Established, *};

/// Long enough for an ordinary request on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

/// Never reached unless the test fails.
const LONG: Duration = Duration::from_mins(1);

fn limits() -> Limits {
    Limits {
        handshake_timeout: LONG,
        first_byte_timeout: LONG,
        header_timeout: LONG,
        body_timeout: LONG,
        handler_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        ..Limits::default()
    }
}

async fn start(limits: Limits) -> (SocketAddr, oneshot::Sender<()>) {
    start_on(limits, |socket| socket).await
}

async fn start_on<T: Transport + 'static>(
    limits: Limits,
    transport: impl FnOnce(TcpListener) -> T,
) -> (SocketAddr, oneshot::Sender<()>) {
    let service = Router::new()
        .route("/", post(async |body: String| body))
        .route("/huge", post(async || vec![0_u8; 64 * 1024 * 1024]));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let transport = transport(socket);
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        serve(
            transport,
            service,
            Arc::new(limits),
            LoadShed::default(),
            shutdown,
        )
        .await;
    });
    (address, stop)
}

/// TCP with a handshake: the client sends a byte first.
struct Knock(TcpListener);

impl Transport for Knock {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted, Error>> {
        let (mut stream, address) = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok(Accepted {
            peer: Peer::Network(address),
            handshake: Box::pin(async move {
                stream.read_u8().await?;
                Ok(Established {
                    stream: Box::new(stream),
                    client_certificate: None,
                })
            }),
        }))
    }
}

async fn connect(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(first).await.unwrap();
    socket
}

async fn read_to_close(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset also counts as closed.
    let _ = tokio::time::timeout(LONG / 4, socket.read_to_end(&mut all))
        .await
        .expect("still open");
    String::from_utf8_lossy(&all).into_owned()
}

/// Whether an ordinary request is answered.
async fn is_served(address: SocketAddr) -> bool {
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    let mut socket = connect(address, request).await;
    read_to_close(&mut socket).await.ends_with("\r\n\r\nhi")
}

#[tokio::test]
async fn a_silent_socket_is_closed() {
    let (address, _stop) = start(Limits {
        first_byte_timeout: SHORT,
        ..limits()
    })
    .await;
    let mut silent = connect(address, b"").await;
    assert_eq!(read_to_close(&mut silent).await, "");
    assert!(is_served(address).await);
}

#[tokio::test]
async fn slow_header_is_closed_however_steadily_it_arrives() {
    let (address, _stop) = start(Limits {
        header_timeout: SHORT,
        ..limits()
    })
    .await;
    let (mut reader, mut writer) = connect(address, b"POST / HT").await.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let mut all = Vec::new();
    let closed = tokio::time::timeout(LONG / 4, reader.read_to_end(&mut all)).await;
    assert!(closed.is_ok(), "still open");
    drip.await.unwrap();
}

#[tokio::test]
async fn incomplete_body_ends_the_request() {
    let (address, _stop) = start(Limits {
        body_timeout: SHORT,
        ..limits()
    })
    .await;
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab";
    let mut dripping = connect(address, head).await;
    let answer = read_to_close(&mut dripping).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn idle_connection_is_closed_after_its_timeout_and_not_before() {
    let limits = Limits {
        idle_timeout: SHORT,
        header_timeout: SHORT / 10,
        ..limits()
    };
    let (address, _stop) = start(limits).await;
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    let start = std::time::Instant::now();
    let mut idle = connect(address, request).await;
    assert!(read_to_close(&mut idle).await.ends_with("hi"));
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn http2_without_a_request_is_shut_down_even_while_it_pings() {
    let (address, _stop) = start(Limits {
        header_timeout: SHORT,
        ..limits()
    })
    .await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let (mut reader, mut writer) = connect(address, preface).await.into_split();
    let pings = tokio::spawn(async move {
        while writer
            .write_all(b"\0\0\x08\x06\0\0\0\0\0pingpong")
            .await
            .is_ok()
        {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let mut all = Vec::new();
    let closed = tokio::time::timeout(LONG / 4, reader.read_to_end(&mut all)).await;
    assert!(closed.is_ok(), "still open");
    let goaway = [0x07, 0, 0, 0, 0, 0];
    assert!(
        all.windows(goaway.len()).any(|frame| frame == goaway),
        "no GOAWAY"
    );
    pings.await.unwrap();
}

#[tokio::test]
async fn client_that_does_not_read_is_closed() {
    let (address, _stop) = start(Limits {
        write_timeout: SHORT,
        ..limits()
    })
    .await;
    let request = b"POST /huge HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let mut stalled = connect(address, request).await;
    tokio::time::sleep(SHORT * 3).await;
    let read = read_to_close(&mut stalled).await.len();
    assert!(read < 64 * 1024 * 1024, "all {read} bytes came");
}

#[tokio::test]
async fn http2_client_that_opens_no_window_is_closed() {
    let limits = Limits {
        write_timeout: SHORT,
        ..limits()
    };
    let (address, _stop) = start(limits).await;
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut client = http2::Builder::new(TokioExecutor::new());
    client
        .initial_stream_window_size(1024)
        .initial_connection_window_size(1024);
    let (mut sender, connection) = client.handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://x/huge").body(Body::empty());
    let unread = sender.send_request(request.unwrap()).await.unwrap();
    let closed = tokio::time::timeout(LONG / 4, connection).await;
    assert!(closed.is_ok(), "still open");
    drop(unread);
}

#[tokio::test]
async fn silent_connections_are_evicted_for_those_that_send() {
    let (address, _stop) = start(Limits {
        max_connections: 4,
        ..limits()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(address, b"").await);
    }
    assert!(is_served(address).await);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_silent_connections() {
    let (address, stop) = start(limits()).await;
    let mut silent = connect(address, b"").await;
    let mut half = connect(address, b"POST / HT").await;
    assert!(is_served(address).await);
    drop(stop);
    assert_eq!(read_to_close(&mut silent).await, "");
    assert_eq!(read_to_close(&mut half).await, "");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn unfinished_handshake_is_closed_in_time_and_a_finished_one_is_served() {
    let limits = Limits {
        handshake_timeout: SHORT,
        ..limits()
    };
    let (address, _stop) = start_on(limits, Knock).await;
    let mut silent = connect(address, b"").await;
    assert_eq!(read_to_close(&mut silent).await, "");
    let mut open = connect(address, b"!").await;
    // Past the time for the handshake, which is over.
    tokio::time::sleep(SHORT * 2).await;
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    open.write_all(request).await.unwrap();
    assert!(read_to_close(&mut open).await.ends_with("hi"));
}

#[tokio::test]
async fn unfinished_handshakes_count_as_connections_and_are_evicted_for_others() {
    let limits = Limits {
        max_connections: 4,
        ..limits()
    };
    let (address, stop) = start_on(limits, Knock).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(address, b"").await);
    }
    let request =
        b"!POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    let mut client = connect(address, request).await;
    assert!(read_to_close(&mut client).await.ends_with("hi"));
    assert_eq!(read_to_close(&mut silent[0]).await, "");
    drop(stop);
    for socket in &mut silent {
        assert_eq!(read_to_close(socket).await, "");
    }
}

/// Stops the server during a request that takes `time`. Returns what its client reads and how long the stop took,
/// on a clock that only advances when nothing else is left to do.
async fn stop_during_a_request_of(time: Duration) -> (String, Duration) {
    let begun = Arc::new(Notify::new());
    let begin = Arc::clone(&begun);
    let slow = async move || {
        begin.notify_one();
        tokio::time::sleep(time).await;
        "done"
    };
    let service = Router::new().route("/", post(slow));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let server = tokio::spawn(serve(
        socket,
        service,
        Arc::new(limits()),
        LoadShed::default(),
        shutdown,
    ));
    let mut client = connect(address, b"POST / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    begun.notified().await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    drop(stop);
    server.await.unwrap();
    let took = start.elapsed();
    tokio::time::resume();
    (read_to_close(&mut client).await, took)
}

#[tokio::test]
async fn shutdown_waits_for_a_request_within_the_handler_timeout() {
    let (answer, took) = stop_during_a_request_of(LONG).await;
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(took.as_secs(), LONG.as_secs());
}

#[tokio::test]
async fn shutdown_aborts_a_request_beyond_the_handler_timeout() {
    let (answer, took) = stop_during_a_request_of(LONG * 10).await;
    assert_eq!(answer, "");
    assert_eq!(took.as_secs(), LONG.as_secs());
}
