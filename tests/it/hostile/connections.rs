//! Limits of connections, streams and open files, and what happens beyond them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tokio::net::TcpStream;

use super::{
    CURRENT_USER,
    http1::{Http1, REPLY_TIMEOUT},
    http2::{
        DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, RawHttp2, SETTINGS, fields, frame,
    },
    message_format::{MessageFormat, verdict},
    process::Process,
};
use crate::test_app::TestApp;

const MAX_CONNECTIONS: usize = 4;

/// Long enough for an ordinary request, short enough to wait for nothing.
const BRIEFLY: Duration = Duration::from_millis(300);

fn half_a_request(token: &str) -> String {
    format!(
        "POST {CURRENT_USER} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_over_the_limit_waits_while_others_are_busy() {
    let test = TestApp::start_with(|settings| {
        settings.server.limits.max_connections = MAX_CONNECTIONS;
        settings.server.limits.max_connections_per_network = Some(MAX_CONNECTIONS + 1);
    })
    .await;
    let mut busy = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut socket = Http1::connect(test.client.server).await;
        socket
            .write(half_a_request(&test.admin.token).as_bytes())
            .await;
        // The request is in flight: the server asks for the body.
        socket.await_continue().await;
        busy.push(socket);
    }
    let good = MessageFormat::JSON.request(CURRENT_USER, &test.admin.token, b"{}");
    let mut waiting = Http1::connect(test.client.server).await;
    waiting.write(&super::http1::bytes_of(&good)).await;
    let answered = tokio::time::timeout(BRIEFLY, waiting.read()).await;
    assert!(answered.is_err(), "a connection too many is served");

    busy[0].write(b"{}").await;
    assert_eq!(verdict(&busy[0].read().await.unwrap()), "ok");
    // Now the first is idle, and is evicted.
    assert_eq!(verdict(&waiting.read().await.unwrap()), "ok");
    for socket in &mut busy[1..] {
        socket.write(b"{}").await;
        assert_eq!(
            verdict(&socket.read().await.unwrap()),
            "ok",
            "a busy connection stays"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_and_first_stream_is_refused_and_the_others_are_served() {
    let test = TestApp::start().await;
    let mut socket = RawHttp2::connect(test.client.server).await;
    let bearer = format!("Bearer {}", test.admin.token);
    let head = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", CURRENT_USER),
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ]);
    for stream in 0..=100 {
        socket
            .write(&frame(HEADERS, END_HEADERS, stream * 2 + 1, &head))
            .await;
    }
    let mut announced = None;
    loop {
        let frame = socket
            .read(REPLY_TIMEOUT)
            .await
            .expect("the connection lives");
        match (frame.kind, frame.stream) {
            (SETTINGS, 0) if frame.flags == 0 => {
                let settings = frame
                    .payload
                    .chunks(6)
                    .find(|setting| setting[..2] == [0, 3]);
                announced = settings.map(|setting| setting[2..].to_vec());
            }
            (RST_STREAM, 201) => {
                assert_eq!(frame.payload, [0, 0, 0, 7], "REFUSED_STREAM");
                break;
            }
            (RST_STREAM | HEADERS, other) => panic!("{other}: {frame:?}"),
            _ => {}
        }
    }
    assert_eq!(announced.as_deref(), Some(&[0, 0, 0, 100][..]));
    for stream in 0..100 {
        socket
            .write(&frame(DATA, END_STREAM, stream * 2 + 1, b"{}"))
            .await;
    }
    let mut answered = 0;
    while answered < 100 {
        let frame = socket
            .read(REPLY_TIMEOUT)
            .await
            .expect("the connection lives");
        assert_ne!(frame.kind, RST_STREAM);
        answered += usize::from(frame.kind == HEADERS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sockets_lock_nobody_out_when_few_files_may_be_open() {
    let process = Process::start_with_open_files(256);
    let good = MessageFormat::JSON.request(CURRENT_USER, &process.token, b"{}");
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(process.address).await.unwrap());
    }
    let start = Instant::now();
    let reply = Http1::connect(process.address).await.ask(&good).await;
    assert_eq!(verdict(&reply.unwrap()), "ok");
    assert!(start.elapsed() < REPLY_TIMEOUT, "{:?}", start.elapsed());
    assert!(
        !process.log().contains("cannot accept"),
        "{}",
        process.log()
    );
}

#[tokio::test]
async fn only_methods_of_an_endpoint_are_served() {
    let test = TestApp::start().await;
    let mut socket = Http1::connect(test.client.server).await;
    for (method, status) in [
        ("GET", 200),
        ("POST", 405),
        ("PUT", 405),
        ("DELETE", 405),
        ("PATCH", 405),
        ("OPTIONS", 405),
        ("TRACE", 501),
        ("QUERY", 405),
    ] {
        let request = Request::builder().method(method).uri("/healthz");
        let request = request.body(Bytes::new()).unwrap();
        let reply = socket.ask(&request).await.expect("the connection lives");
        assert_eq!(reply.head.status, status, "{method}");
    }
}
