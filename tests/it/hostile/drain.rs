//! Shutdown by a signal: requests in flight are finished, new ones are refused, and it does not take long.

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{
    CREATE, CURRENT_USER, TIMEOUT,
    http1::{Http1, REPLY_TIMEOUT},
    http2::{self, Http2},
    message_format::{MessageFormat, verdict},
    process::Process,
};

/// A request that waits for the database, so that it is certainly in flight.
async fn held(process: &Process) -> Http1 {
    let mut socket = Http1::connect(process.address).await;
    let message = r#"{"note":"held"}"#;
    let head = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        process.token,
        message.len()
    );
    socket.write(head.as_bytes()).await;
    socket.await_continue().await;
    socket.write(message.as_bytes()).await;
    socket
}

/// A request whose body never comes.
async fn half(process: &Process) -> Http1 {
    let mut socket = Http1::connect(process.address).await;
    let head = format!(
        "POST {CURRENT_USER} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n",
        process.token
    );
    socket.write(head.as_bytes()).await;
    socket.await_continue().await;
    socket
}

/// Waits until new connections are refused, so that the signal has been handled.
async fn refuses(process: &Process) {
    let refused = tokio::time::timeout(TIMEOUT, async {
        while TcpStream::connect(process.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(refused.await.is_ok(), "still accepts: {}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_finished_and_new_ones_refused() {
    let process = Process::start(&["--handler-timeout=5s"]);
    let lock = process.sql();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = held(&process).await;
    let good = MessageFormat::JSON.request(CURRENT_USER, &process.token, b"{}");
    let mut idle = Http1::connect(process.address).await;
    idle.ask(&good).await.unwrap();
    let mut multiplexed = Http2::connect(process.address).await;
    multiplexed.ask(&good).await.unwrap();
    let create = MessageFormat::JSON.request(CREATE, &process.token, b"{}");
    let second = multiplexed.begin(&create).await.unwrap();
    // A response on the same connection: the server has read what was sent before.
    multiplexed.ask(&good).await.unwrap();

    process.signal(Signal::TERM);
    refuses(&process).await;
    assert!(
        idle.is_closed_within(REPLY_TIMEOUT).await,
        "an idle connection delays the shutdown"
    );
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(verdict(&waiting.read().await.unwrap()), "ok");
    assert!(waiting.is_closed_within(REPLY_TIMEOUT).await);
    let second = tokio::time::timeout(REPLY_TIMEOUT, http2::read(second)).await;
    assert_eq!(verdict(&second.expect("in time").unwrap()), "ok");
    let status = process.ended(TIMEOUT).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_takes_no_longer_than_a_handler_may() {
    // The server waits 10 seconds for a body that never comes, or as long as a handler may take.
    let process = Process::start(&["--handler-timeout=1s"]);
    let mut patient = Process::start(&["--handler-timeout=1m"]);
    let mut halves = Vec::new();
    for process in [&patient, &process] {
        halves.push(half(process).await);
        process.signal(Signal::TERM);
        refuses(process).await;
    }
    let status = process.ended(TIMEOUT).await;
    assert_eq!(status.code(), Some(0));
    // Compared with a control instead of a clock, which a busy machine would distort: the control was stopped earlier,
    assert!(patient.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_signal_ends_the_server_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let process = Process::start(&["--handler-timeout=1m"]);
        let lock = process.sql();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let waiting = held(&process).await;
        process.signal(Signal::TERM);
        refuses(&process).await;
        process.signal(signal);
        // A clean shutdown would exit with 0.
        let status = process.ended(TIMEOUT).await;
        assert_eq!(status.code(), Some(1));
        drop((lock, waiting));
    }
}
