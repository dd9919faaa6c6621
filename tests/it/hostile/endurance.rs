//! Floods on one connection: of requests, which are all served, and of cancelled requests.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::{
    http1::{Http1, REPLY_TIMEOUT, bytes_of},
    http2::{self, Http2},
    message_format::MessageFormat,
    process::Process,
    verdict::verdict,
};

const CURRENT_USER: &str = "/hallpass.v1.AuthnService/GetCurrentUser";
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
