//! Many connections without a credential that hold all they can: others are served meanwhile. In the control,
//! without the limits, nobody is.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use hallpass::server::limits::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    CREATE, CURRENT_USER, UNREACHED, WATCH,
    http1::{Http1, REPLY_TIMEOUT, stream_from},
    http2::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, fields, frame},
    message_format::{MessageFormat, verdict},
};
use crate::{client::wrap_frame, metrics::load_shed, test_app::TestApp};

const MAX_CONNECTIONS: usize = 24;

/// A health Watch that never ends.
fn watch() -> Vec<u8> {
    let head = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", WATCH),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[]),
        &frame(HEADERS, END_HEADERS, 1, &head),
        &frame(0, END_STREAM, 1, &wrap_frame(0, b"")),
    ]
    .concat()
}

/// A sign-in whose body never comes.
fn slow_body() -> Vec<u8> {
    format!(
        "POST {CREATE} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Content-Length: 60000\r\n\r\n{{"
    )
    .into_bytes()
}

fn bounded(limits: &mut Limits) {
    limits.max_connections = MAX_CONNECTIONS;
    limits.anonymous_body_timeout = UNREACHED;
    limits.body_timeout = UNREACHED;
}

async fn start(change: impl FnOnce(&mut Limits)) -> TestApp {
    TestApp::start_with(|settings| {
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
        change(&mut settings.server.limits);
    })
    .await
}

/// Without the limits: a busy connection stays, whatever its network.
fn unbounded(limits: &mut Limits) {
    bounded(limits);
    limits.max_connections_per_network = Some(usize::MAX);
    limits.max_anonymous_streams = usize::MAX;
    limits.max_anonymous_streams_per_network = usize::MAX;
    limits.eviction_min_age = UNREACHED;
}

/// Opens connections from this many networks in rotation.
async fn crowd(test: &TestApp, count: usize, networks: u8, opening: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for n in 0..count {
        let network = u8::try_from(n % usize::from(networks)).unwrap();
        let mut stream = stream_from([127, 0, network, 1], test.client.server).await;
        // The server may have closed it already.
        drop(stream.write_all(opening).await);
        all.push(stream);
    }
    all
}

/// Whether an ordinary request from that address is served, within the time that a busy server may take.
async fn is_served(test: &TestApp, address: [u8; 4]) -> bool {
    let request = MessageFormat::JSON.request(CURRENT_USER, &test.admin.token, b"{}");
    let asked = tokio::time::timeout(REPLY_TIMEOUT, async {
        let mut socket = Http1::connect_from(address, test.client.server).await;
        socket.write(&super::http1::bytes_of(&request)).await;
        socket.read_within(UNREACHED).await
    });
    match asked.await {
        Ok(Some(reply)) => verdict(&reply) == "ok",
        Ok(None) | Err(_) => false,
    }
}

async fn open_ones(crowd: &[TcpStream]) -> usize {
    let mut open = 0;
    for stream in crowd {
        let mut buffer = [0; 4096];
        let is_open = loop {
            match stream.try_read(&mut buffer) {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
            }
        };
        open += usize::from(is_open);
        tokio::task::yield_now().await;
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unauthenticated_connections_lock_nobody_out() {
    for (opening, networks) in [
        (watch(), 1),
        (watch(), 50),
        (slow_body(), 1),
        (slow_body(), 50),
    ] {
        let test = start(bounded).await;
        let crowd = crowd(&test, MAX_CONNECTIONS * 3, networks, &opening).await;
        for n in 0..10 {
            assert!(
                is_served(&test, [127, 0, 200 + n, 1]).await,
                "{networks} networks"
            );
        }
        // A client in the same network is served, too, once the connections are no longer new.
        let served = tokio::time::timeout(REPLY_TIMEOUT * 5, async {
            while !is_served(&test, [127, 0, 0, 9]).await {}
        });
        assert!(served.await.is_ok(), "{networks} networks");
        // One more waits to be accepted.
        let few = tokio::time::timeout(REPLY_TIMEOUT * 5, async {
            while open_ones(&crowd).await > MAX_CONNECTIONS + 1 {}
        });
        assert!(few.await.is_ok(), "{} are open", open_ones(&crowd).await);
        let bound = match networks {
            1 => "network_connections",
            _ => "connections",
        };
        let evicted = load_shed(&test, bound, "evicted").await;
        assert!(evicted >= 1.0, "{evicted} are counted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_limits_many_connections_lock_everybody_out() {
    for opening in [watch(), slow_body()] {
        let test = start(unbounded).await;
        assert!(is_served(&test, [127, 0, 200, 1]).await);
        // A connection without a request is evicted, so a slow machine may be left with fewer than the limit. Open more
        // until all accepted ones are busy.
        let mut all = Vec::new();
        let shut_out = tokio::time::timeout(REPLY_TIMEOUT * 10, async {
            loop {
                all.extend(crowd(&test, MAX_CONNECTIONS * 2, 50, &opening).await);
                let served = is_served(&test, [127, 0, 200, 1]).await;
                if !served && load_shed(&test, "connections", "delayed").await >= 1.0 {
                    break;
                }
            }
        });
        assert!(shut_out.await.is_ok());
    }
}

/// A request with a credential whose body never comes.
async fn held(test: &TestApp, address: [u8; 4]) -> Http1 {
    let mut socket = Http1::connect_from(address, test.client.server).await;
    let head = format!(
        "POST {CURRENT_USER} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n",
        test.admin.token
    );
    socket.write(head.as_bytes()).await;
    socket.await_continue().await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_may_hold_half_of_the_connections() {
    let test = TestApp::start_with(|settings| {
        bounded(&mut settings.server.limits);
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
        settings.server.trusted_proxies = vec!["127.0.77.0/24".parse().unwrap()];
    })
    .await;
    let mut all = Vec::new();
    for _ in 0..MAX_CONNECTIONS / 2 {
        all.push(held(&test, [127, 0, 5, 1]).await);
    }
    let mut one_more = Http1::connect_from([127, 0, 5, 2], test.client.server).await;
    let ping = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    one_more.write(ping).await;
    let reply = one_more.read().await.expect("the refusal names the reason");
    assert_eq!(reply.head.status, 503);
    assert_eq!(reply.head.headers["connection"], "close");
    assert!(reply.head.headers.contains_key("retry-after"));
    assert!(one_more.is_closed_within(REPLY_TIMEOUT).await);
    let refused = load_shed(&test, "network_connections", "refused").await;
    assert_same(refused, 1.0);

    assert!(is_served(&test, [127, 0, 6, 1]).await);
    // A trusted proxy may hold more.
    let mut proxied = Vec::new();
    for _ in 0..MAX_CONNECTIONS / 2 - 1 {
        proxied.push(held(&test, [127, 0, 77, 1]).await);
    }
    assert!(is_served(&test, [127, 0, 6, 1]).await);
    all[0].write(b"{}       ").await;
    assert_eq!(
        verdict(&all[0].read().await.unwrap()),
        "ok",
        "none was cut off"
    );
}

fn few_bodies_and_streams(limits: &mut Limits) {
    bounded(limits);
    limits.max_anonymous_bodies = 4;
    limits.max_anonymous_streams = 4;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evicted_and_refused_bodies_and_streams_are_counted() {
    for (opening, bound) in [
        (slow_body(), "anonymous_bodies"),
        (watch(), "anonymous_streams"),
    ] {
        // Each from a different network. If nothing is ever old enough to be evicted, all others are refused.
        for (outcome, min_age) in [("evicted", Duration::ZERO), ("refused", UNREACHED)] {
            let test = start(|limits| {
                few_bodies_and_streams(limits);
                limits.eviction_min_age = min_age;
            })
            .await;
            assert_same(load_shed(&test, bound, outcome).await, 0.0);
            let mut crowd = crowd(&test, 10, 50, &opening).await;
            let counted = tokio::time::timeout(REPLY_TIMEOUT * 5, async {
                while load_shed(&test, bound, outcome).await < 6.0 {}
            });
            assert!(counted.await.is_ok(), "{bound} {outcome}");
            assert_same(load_shed(&test, bound, outcome).await, 6.0);
            if bound == "anonymous_bodies" {
                // Each gets an error; which ones are affected is random.
                let mut told: FuturesUnordered<_> = crowd.iter_mut().map(status).collect();
                for _ in 0..6 {
                    let next = tokio::time::timeout(REPLY_TIMEOUT * 5, told.next()).await;
                    assert_eq!(next.unwrap().unwrap(), "429", "{outcome}");
                }
            }
        }
    }
}

/// The status of the response before the connection is closed.
async fn status(stream: &mut TcpStream) -> String {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn assert_same(counted: f64, expected: f64) {
    assert!(
        (counted - expected).abs() < 0.5,
        "{counted}, not {expected}"
    );
}
