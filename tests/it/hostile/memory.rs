//! Unfinished bodies and heads, unread responses and compressed bombs: their memory is bounded, and callers with a
//! credential are served meanwhile.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use h2::{SendStream, client::ResponseFuture};
use hallpass::server::limits::Limits;
use http::Request;

use super::{
    CREATE, CURRENT_USER, UNREACHED,
    http1::{Http1, REPLY_TIMEOUT, stream_from},
    http2::Http2,
    message_format::{MessageFormat, gzip, verdict},
    process::Process,
};
use crate::{metrics::load_shed, test_app::TestApp};

/// The size of a part of a body, which is never completed.
const PART: usize = 16 * 1024;

const PARTS: usize = 3;

const MEGABYTE: usize = 1024 * 1024;

/// The memory that each bomb may take.
const MARGIN_KIB: u64 = 16 * 1024;

fn create() -> Request<Bytes> {
    Request::post(CREATE)
        .header("content-type", "application/json")
        .body(Bytes::new())
        .unwrap()
}

/// An HTTP/2 connection with request bodies that are never finished.
struct UnfinishedBodies {
    _connection: Http2,
    streams: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

async fn unfinished(server: SocketAddr, address: [u8; 4], streams: usize) -> UnfinishedBodies {
    let stream = stream_from(address, server).await;
    let mut connection = Http2::over(stream, server).await;
    let mut all = Vec::new();
    for _ in 0..streams {
        let Ok((response, mut body)) = connection.open(&create()).await else {
            break;
        };
        for _ in 0..PARTS {
            // Sent as the flow-control window allows; a refused stream takes no more.
            drop(body.send_data(Bytes::from_static(&[b' '; PART]), false));
        }
        all.push((response, body));
    }
    UnfinishedBodies {
        _connection: connection,
        streams: all,
    }
}

/// Waits until `enough` are refused or the time is over; returns how many are.
async fn refused(all: &mut [UnfinishedBodies], enough: usize, time: Duration) -> usize {
    let mut responses: FuturesUnordered<_> = all
        .iter_mut()
        .flat_map(|unfinished| &mut unfinished.streams)
        .map(|(response, _)| response)
        .collect();
    let mut refused = 0;
    let counting = async {
        while refused < enough
            && let Some(reply) = responses.next().await
        {
            if let Ok(reply) = reply {
                assert!([429, 503].contains(&reply.status().as_u16()), "{reply:?}");
                assert!(reply.headers().contains_key("retry-after"), "{reply:?}");
            }
            refused += 1;
        }
    };
    drop(tokio::time::timeout(time, counting).await);
    refused
}

async fn is_served(server: SocketAddr, token: &str) -> bool {
    let good = MessageFormat::JSON.request(CURRENT_USER, token, b"{}");
    let reply = Http1::connect(server).await.ask(&good).await;
    reply.is_some_and(|reply| verdict(&reply) == "ok")
}

fn little_memory(limits: &mut Limits) {
    limits.anonymous_memory_bytes = 1024 * 1024;
    limits.anonymous_body_timeout = UNREACHED;
    limits.body_timeout = UNREACHED;
    limits.handler_timeout = UNREACHED;
    limits.max_anonymous_bodies = usize::MAX;
    limits.max_anonymous_bodies_per_network = usize::MAX;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_the_budget_are_refused_and_callers_with_a_credential_served() {
    let test = TestApp::start_with(|settings| {
        little_memory(&mut settings.server.limits);
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let server = test.client.server;
    let good = MessageFormat::JSON.request(CURRENT_USER, &test.admin.token, b"{}");
    let mut known = Http2::connect(server).await;
    known.ask(&good).await.unwrap();
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(unfinished(server, [127, 0, n, 1], 20).await);
    }
    // 200 bodies of 48 KiB; the budget and the allowances hold 26.
    let count = refused(&mut all, 170, REPLY_TIMEOUT * 5).await;
    assert!(count >= 170, "{count} were refused");
    let counted = load_shed(&test, "memory", "refused").await;
    assert!(counted >= 1.0, "{counted} are counted");
    for _ in 0..10 {
        assert!(is_served(server, &test.admin.token).await);
    }
    for _ in 0..10 {
        assert_eq!(verdict(&known.ask(&good).await.unwrap()), "ok");
    }
    // Closed connections give their memory back to the budget.
    drop(all);
    let again = tokio::time::timeout(REPLY_TIMEOUT * 5, async {
        loop {
            let mut one = [unfinished(server, [127, 0, 99, 1], 10).await];
            if refused(&mut one, 1, REPLY_TIMEOUT / 4).await == 0 {
                break;
            }
        }
    });
    assert!(again.await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_the_budget_all_bodies_are_kept() {
    let test = TestApp::start_with(|settings| {
        little_memory(&mut settings.server.limits);
        settings.server.limits.anonymous_memory_bytes = 1024 * 1024 * 1024;
        settings.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(unfinished(test.client.server, [127, 0, n, 1], 20).await);
    }
    assert_eq!(refused(&mut all, 1, REPLY_TIMEOUT / 2).await, 0);
    let counted = load_shed(&test, "memory", "refused").await;
    assert!(counted < 0.5, "{counted} are counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "what was measured is worth reading")]
async fn unfinished_bodies_and_heads_take_at_most_200_mib() {
    let process = Process::start(&["--log-level=warn"]);
    let quiet = process.peak_memory_kib();
    let mut all = Vec::new();
    for n in 0..120 {
        all.push(unfinished(process.address, [127, 0, n, 1], 100).await);
        if n % 10 == 0 {
            assert!(is_served(process.address, &process.token).await, "{n}");
        }
    }
    // Heads that never end.
    let mut heads = Vec::new();
    for n in 0..400_u16 {
        let address = [127, 1, u8::try_from(n % 100).unwrap(), 1];
        let mut socket = Http1::connect_from(address, process.address).await;
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(90_000));
        socket.write(head.as_bytes()).await;
        heads.push(socket);
    }
    assert!(is_served(process.address, &process.token).await);
    let peak = process.peak_memory_kib();
    eprintln!("{quiet} KiB, then {peak} KiB");
    assert!(peak <= quiet + 200 * 1024, "{quiet} KiB, then {peak} KiB");
}

/// gzip allows several members one after the other.
fn bomb(megabytes: usize) -> Vec<u8> {
    gzip(&vec![b' '; MEGABYTE]).repeat(megabytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip_bomb_of_200_mb_is_refused_and_takes_no_memory() {
    let process = Process::start(&["--log-level=warn"]);
    let mut http1 = Http1::connect(process.address).await;
    let mut http2 = Http2::connect(process.address).await;
    let good = MessageFormat::JSON.request(CURRENT_USER, &process.token, b"{}");
    http1.ask(&good).await.unwrap();
    let before = process.peak_memory_kib();
    // The first is small enough as a body and is decompressed; the second is refused for its compressed length.
    let small = bomb(10);
    assert!(small.len() < 64 * 1024, "{}", small.len());
    let large = bomb(200);
    assert!(large.len() > 64 * 1024, "{}", large.len());
    for format in MessageFormat::ALL {
        for bomb in [&small, &large] {
            let request = format.packed(CURRENT_USER, &process.token, bomb);
            for _ in 0..10 {
                let reply = if format.http2 {
                    http2.ask(&request).await.unwrap()
                } else {
                    http1.ask(&request).await.unwrap()
                };
                assert_eq!(verdict(&reply), "resource_exhausted", "{format:?}");
            }
        }
    }
    // About as much as fits a request target.
    let message = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, bomb(1));
    let get = format!("{CURRENT_USER}?encoding=json&compression=gzip&base64=1&message={message}");
    let get = Request::get(get).header("authorization", format!("Bearer {}", process.token));
    let reply = http1.ask(&get.body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(verdict(&reply), "resource_exhausted");

    assert_eq!(verdict(&http1.ask(&good).await.unwrap()), "ok");
    let grown = process.peak_memory_kib() - before;
    assert!(grown < MARGIN_KIB, "{grown} KiB more, after {before} KiB");
}
