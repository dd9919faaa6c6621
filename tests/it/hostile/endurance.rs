//! Floods on one connection: of requests, which are all served, of cancelled requests, and of frames that provoke
//! warnings of a library, which must not fill the log.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use rustix::process::Signal;

use super::{
    CURRENT_USER,
    http1::{Http1, REPLY_TIMEOUT, bytes_of},
    http2::{self, ACK, GOAWAY, Http2, PING, RawHttp2, frame},
    message_format::{MessageFormat, verdict},
    process::Process,
};

const MANY: usize = 10_000;

const CONCURRENT: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_http1_connection_serves_ten_thousand_requests() {
    let process = Process::start(&["--log-level=warn"]);
    let request = bytes_of(&MessageFormat::JSON.request(CURRENT_USER, &process.token, b"{}"));
    let mut socket = Http1::connect(process.address).await;
    for _ in 0..MANY / CONCURRENT {
        socket.write(&request.repeat(CONCURRENT)).await;
        for _ in 0..CONCURRENT {
            assert_eq!(verdict(&socket.read().await.expect("closed")), "ok");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_http2_connection_serves_ten_thousand_requests() {
    let process = Process::start(&["--log-level=warn"]);
    let request = MessageFormat::JSON.request(CURRENT_USER, &process.token, b"{}");
    let socket = Http2::connect(process.address).await;
    let answers = stream::iter(0..MANY).map(|_| {
        let (mut socket, request) = (socket.clone(), &request);
        async move { http2::read(socket.begin(request).await?).await }
    });
    let mut answers = answers.buffer_unordered(CONCURRENT);
    let mut count = 0;
    while let Some(answer) = answers.next().await {
        assert_eq!(verdict(&answer.expect("the connection lives")), "ok");
        count += 1;
    }
    assert_eq!(count, MANY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_reset_streams_affect_nobody_else() {
    let mut process = Process::start(&["--log-level=warn"]);
    let request = MessageFormat::JSON.request(CURRENT_USER, &process.token, b"{}");
    let mut other = Http1::connect(process.address).await;
    other.ask(&request).await.unwrap();
    let before = process.peak_memory_kib();

    let (mut opened, mut connections, mut slowest) = (0, 0, Duration::ZERO);
    while opened < MANY {
        connections += 1;
        let mut attacker = Http2::connect(process.address).await;
        while opened < MANY {
            // Reconnect when the server ends the connection.
            let Ok((response, mut stream)) = attacker.open(&request).await else {
                break;
            };
            stream.send_reset(h2::Reason::CANCEL);
            drop(response);
            opened += 1;
            if opened % 100 == 0 {
                let start = Instant::now();
                assert_eq!(verdict(&other.ask(&request).await.unwrap()), "ok");
                slowest = slowest.max(start.elapsed());
            }
        }
    }
    let grown = process.peak_memory_kib() - before;
    #[expect(clippy::print_stdout, reason = "shown where a test fails or is asked")]
    {
        println!("{connections} connections, slowest other request {slowest:?}, {grown} KiB more");
    }
    assert!(slowest < REPLY_TIMEOUT, "{slowest:?}");
    assert!(grown < 32 * 1024, "{grown} KiB more");
    assert!(process.is_running());
    let mut fresh = Http2::connect(process.address).await;
    assert_eq!(verdict(&fresh.ask(&request).await.unwrap()), "ok");
}

#[tokio::test]
async fn unsolicited_ping_acks_are_logged_a_few_times_and_counted() {
    let mut process = Process::start(&[]);
    let mut peer = RawHttp2::connect(process.address).await;
    let flood = frame(PING, ACK, 0, &[7; 8]).repeat(1_000);
    for _ in 0..50 {
        peer.write(&flood).await;
    }
    // The reply to this ping shows that the server has read all before it.
    peer.write(&frame(PING, 0, 0, b"the last")).await;
    loop {
        let frame = peer.read(Duration::from_secs(20)).await.unwrap();
        assert_ne!(
            frame.kind, GOAWAY,
            "the control: the server does not refuse them"
        );
        if frame.kind == PING && frame.payload == b"the last" {
            break;
        }
    }
    drop(peer);
    process.signal(Signal::TERM);
    let start = Instant::now();
    while process.is_running() && start.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let log = process.log();
    assert!(
        (1..100).contains(&log.matches("PING").count()),
        "{}",
        log.len()
    );
    assert!(log.len() < 32 * 1_024, "{}", log.len());
    let told = log
        .lines()
        .find(|line| line.contains("records were left out"));
    let told = told.unwrap();
    assert!(
        told.contains(" records=49980 ") && told.contains("h2"),
        "{told}"
    );
}
