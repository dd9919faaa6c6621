//! A small request that decompresses to 200 MB: memory stays bounded in every protocol.

use bytes::Bytes;
use http::Request;

use super::{
    http1::Http1,
    http2::Http2,
    message_format::{MessageFormat, gzip},
    process::Process,
    verdict::verdict,
};

const MEGABYTE: usize = 1024 * 1024;
const CURRENT_USER: &str = "/hallpass.v1.AuthnService/GetCurrentUser";

/// The memory that each bomb may take.
const MARGIN_KIB: u64 = 16 * 1024;

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
