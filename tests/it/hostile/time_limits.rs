//! Shortened time limits: a request in time is served, a late one ends in the caller's own protocol.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use super::{
    CREATE, CURRENT_USER,
    http1::{Http1, REPLY_TIMEOUT, bytes_of},
    http2::{GOAWAY, Http2, RawHttp2},
    message_format::{MessageFormat, verdict, with},
};
use crate::test_app::TestApp;

const SHORT: Duration = Duration::from_millis(400);

/// Extra time for a busy machine.
const TOLERANCE: Duration = Duration::from_millis(1_600);

async fn in_half_the_time() {
    // There is no event to wait for: the test needs time to pass.
    tokio::time::sleep(TOLERANCE / 2).await;
}

/// The time until the server closes.
async fn closed_after(socket: &mut Http1) -> Duration {
    let start = Instant::now();
    assert!(
        socket.is_closed_within(TOLERANCE + REPLY_TIMEOUT).await,
        "still open"
    );
    start.elapsed()
}

fn good(token: &str) -> Request<Bytes> {
    MessageFormat::JSON.request(CURRENT_USER, token, b"{}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_byte_and_header_have_separate_time_limits() {
    let test = TestApp::start_with(|settings| {
        settings.server.limits.first_byte_timeout = TOLERANCE;
        settings.server.limits.header_timeout = TOLERANCE;
    })
    .await;
    let bytes = bytes_of(&good(&test.admin.token));
    let mut slow = Http1::connect(test.client.server).await;
    in_half_the_time().await;
    slow.write(&bytes[..10]).await;
    in_half_the_time().await;
    slow.write(&bytes[10..]).await;
    assert_eq!(verdict(&slow.read().await.unwrap()), "ok");

    let mut silent = Http1::connect(test.client.server).await;
    assert!(closed_after(&mut silent).await >= TOLERANCE / 2);
    let mut half = Http1::connect(test.client.server).await;
    half.write(&bytes[..10]).await;
    assert!(closed_after(&mut half).await >= TOLERANCE / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_http2_connection_ends_like_a_missing_header() {
    let test = TestApp::start_with(|settings| settings.server.limits.header_timeout = SHORT).await;
    let mut silent = RawHttp2::connect(test.client.server).await;
    let mut told = false;
    while let Some(frame) = silent.read(SHORT + REPLY_TIMEOUT).await {
        told |= frame.kind == GOAWAY;
    }
    assert!(told, "no GOAWAY");

    // A connection that has made a request may be idle.
    let mut asking = Http2::connect(test.client.server).await;
    asking.ask(&good(&test.admin.token)).await.unwrap();
    in_half_the_time().await;
    asking.ask(&good(&test.admin.token)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_body_is_a_timeout_in_every_protocol() {
    let test = TestApp::start_with(|settings| settings.server.limits.body_timeout = SHORT).await;
    for format in MessageFormat::ALL {
        let message: &[u8] = if format.json { b"{}" } else { b"" };
        let request = format.request(CURRENT_USER, &test.admin.token, message);
        if format.http2 {
            let mut socket = Http2::connect(test.client.server).await;
            let (response, stream) = socket.open(&request).await.unwrap();
            let reply =
                tokio::time::timeout(SHORT + REPLY_TIMEOUT, super::http2::read(response)).await;
            let reply = reply.expect("in time").unwrap();
            assert_eq!(verdict(&reply), "deadline_exceeded", "{format:?}");
            drop(stream);
            let next = socket.ask(&good(&test.admin.token)).await.unwrap();
            assert_eq!(verdict(&next), "ok", "{format:?}");
        } else {
            let mut socket = Http1::connect(test.client.server).await;
            let late = with(request, "content-length", "100");
            socket.write(&bytes_of(&late)).await;
            let reply = socket.read_within(SHORT + REPLY_TIMEOUT).await.unwrap();
            assert_eq!(verdict(&reply), "deadline_exceeded", "{format:?}");
            // HTTP/1.1 cannot continue: the next bytes might be the body.
            closed_after(&mut socket).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_ends_at_the_earlier_of_its_own_and_the_servers_deadline() {
    /// Far from both, so that a busy machine does not blur which deadline was met.
    const FAR_OFF: Duration = Duration::from_mins(1);
    for (servers, least) in [(SHORT, SHORT), (FAR_OFF, Duration::ZERO)] {
        let test = TestApp::start_with(|settings| {
            settings.server.limits.handler_timeout = servers;
            settings.busy_timeout = FAR_OFF;
        })
        .await;
        let lock = test.sql();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut http1 = Http1::connect(test.client.server).await;
        let mut http2 = Http2::connect(test.client.server).await;
        for format in MessageFormat::ALL {
            let message: &[u8] = if format.json { b"{}" } else { b"" };
            let request = || format.request(CREATE, &test.admin.token, message);
            let (name, sooner) = format.timeout;
            let later = if name == "grpc-timeout" {
                "1H"
            } else {
                "3600000"
            };
            let requests = if servers == FAR_OFF {
                vec![with(request(), name, sooner)]
            } else {
                vec![with(request(), name, later), request()]
            };
            for request in requests {
                let start = Instant::now();
                let reply = if format.http2 {
                    http2.ask(&request).await.unwrap()
                } else {
                    http1.ask(&request).await.expect("the connection lives")
                };
                let time = start.elapsed();
                assert_eq!(verdict(&reply), "deadline_exceeded", "{format:?}");
                assert!(time >= least, "{format:?}: {time:?}");
            }
            // A read needs no lock: connections and server still work.
            let good = good(&test.admin.token);
            assert_eq!(verdict(&http1.ask(&good).await.unwrap()), "ok");
            assert_eq!(verdict(&http2.ask(&good).await.unwrap()), "ok");
        }
        lock.execute_batch("ROLLBACK").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connection_ends_at_its_timeout_and_not_before() {
    let test =
        TestApp::start_with(|settings| settings.server.limits.idle_timeout = TOLERANCE).await;
    let good = good(&test.admin.token);
    let mut http1 = Http1::connect(test.client.server).await;
    let mut http2 = Http2::connect(test.client.server).await;
    for _ in 0..3 {
        assert_eq!(verdict(&http1.ask(&good).await.unwrap()), "ok");
        assert_eq!(verdict(&http2.ask(&good).await.unwrap()), "ok");
        in_half_the_time().await;
    }
    closed_after(&mut http1).await;
    let ended = tokio::time::timeout(TOLERANCE * 4 + REPLY_TIMEOUT, async {
        while http2.ask(&good).await.is_ok() {
            tokio::time::sleep(TOLERANCE * 2).await;
        }
    });
    assert!(ended.await.is_ok(), "still open");
}
