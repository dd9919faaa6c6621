//! HTTP/1.1 that is broken below the protocols: request lines, header fields, lengths, chunks. Each case has
//! its own connection; all others are served meanwhile.

use super::super::{
    CURRENT_USER,
    http1::{Http1, REPLY_TIMEOUT},
    message_format::{MessageFormat, blames_the_server, verdict},
};
use crate::{client::procedures, test_app::TestApp};

const END: &str = "\r\n\r\n";

/// Request lines and header fields, without the end of the head.
fn heads(path: &str) -> Vec<Vec<u8>> {
    let post = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json");
    let lines = [
        "\0",
        "x",
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET / HTTP/1.2",
        "GET / HTTP/3.0",
        "GET / http/1.1",
        "GET / HTTP/1.1\r\nHost",
        " GET / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET x HTTP/1.1\r\nHost: h",
        "GET http:// HTTP/1.1\r\nHost: h",
        "GET /\u{e9} HTTP/1.1",
        "GET /\x7f HTTP/1.1\r\nHost: h",
        "CONNECT h:1 HTTP/1.1\r\nHost: h",
        "TRACE / HTTP/1.1\r\nHost: h",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nXX",
        "PRI * HTTP/1.1",
        "SSH-2.0-x",
    ];
    let targets = ["POST x", "POST ?", "POST *"].map(|line| format!("{line} HTTP/1.1\r\nHost: h"));
    let no_host = [
        format!("POST {path} HTTP/1.1\r\nContent-Length: 0"),
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nHost: h\r\nContent-Length: 0"),
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0"),
        format!("POST {path} HTTP/1.0\r\nContent-Length: 0"),
    ];
    let fields = [
        "Host : h",
        "Accept : x",
        "Accept",
        ": x",
        "Acc ept: x",
        "Acc\0ept: x",
        "Acc\u{e9}pt: x",
        "Accept: x\0y",
        "Accept: x\ry",
        "Accept: x\r\n folded",
        "Accept: x\r\n\tfolded",
        "Accept: \x08",
        "Content-Length: -1",
        "Content-Length: +2",
        "Content-Length: 0x2",
        "Content-Length: 2.0",
        "Content-Length: ",
        "Content-Length: 2, 2",
        "Content-Length: 2 2",
        "Content-Length: 99999999999999999999",
        "Content-Length: 18446744073709551615",
        "Content-Length: 2\r\nContent-Length: 3",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: ",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
    ];
    let long = [
        format!("{post}\r\nx: {}", "y".repeat(200_000)),
        format!("{post}\r\n{}: y", "x".repeat(70_000)),
        format!("{post}{}", "\r\nx: y".repeat(1_000)),
        format!("POST /{} HTTP/1.1\r\nHost: h", "x".repeat(70_000)),
        format!("POST {path}?{} HTTP/1.1\r\nHost: h", "x".repeat(9_000)),
        format!("{} / HTTP/1.1\r\nHost: h", "X".repeat(70_000)),
    ];
    let fields = fields.map(|field| format!("{post}\r\n{field}"));
    let lines = lines.map(str::to_owned);
    let all = lines
        .into_iter()
        .chain(targets)
        .chain(no_host)
        .chain(fields);
    all.chain(long)
        .map(|head| format!("{head}{END}{{}}").into_bytes())
        .collect()
}

/// Bodies in chunks, from the end of the head on.
const CHUNKS: [&str; 20] = [
    "",
    "\r\n",
    "zz\r\n{}\r\n0\r\n\r\n",
    "-1\r\n{}\r\n0\r\n\r\n",
    "0x2\r\n{}\r\n0\r\n\r\n",
    " 2\r\n{}\r\n0\r\n\r\n",
    "+2\r\n{}\r\n0\r\n\r\n",
    "2\n{}\r\n0\r\n\r\n",
    "2\r{}\r\n0\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "2\r\n{}\n0\r\n\r\n",
    "1\r\n{}\r\n0\r\n\r\n",
    "3\r\n{}\r\n0\r\n\r\n",
    "5\r\n{}",
    "2\r\n{}\r\n",
    "2\r\n{}\r\n0\r\n",
    "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "2;x\ny\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}\r\n0\r\nx\0: y\r\n\r\n",
];

fn bodies(path: &str, token: &str) -> Vec<Vec<u8>> {
    let head = |fields: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{fields}{END}"
        )
    };
    let chunked = head("Transfer-Encoding: chunked");
    let long = [
        format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000)),
        format!("2\r\n{{}}\r\n0\r\nx: {}\r\n\r\n", "y".repeat(100_000)),
        format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x: y\r\n".repeat(5_000)),
    ];
    let chunks = CHUNKS.map(str::to_owned).into_iter().chain(long);
    let chunks = chunks.map(|chunks| format!("{chunked}{chunks}"));
    let cut = ["", "{", "{}"].map(|body| format!("{}{body}", head("Content-Length: 3")));
    chunks.chain(cut).map(String::into_bytes).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_http1_is_refused_or_closed_in_time_and_affects_nobody_else() {
    let test = TestApp::start().await;
    let server = test.client.server;
    let token = &test.admin.token;
    let good = MessageFormat::JSON.request(CURRENT_USER, token, b"{}");
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let mut count = 0;
    for procedure in procedures() {
        let path = procedure.path();
        for bytes in heads(&path).into_iter().chain(bodies(&path, token)) {
            count += 1;
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            let mut socket = Http1::connect(server).await;
            socket.write(&bytes).await;
            socket.finish().await;
            let mut replies = 0;
            while let Some(reply) = socket.read_within(REPLY_TIMEOUT).await {
                replies += 1;
                assert!(!blames_the_server(&reply), "{shown:?}: {}", verdict(&reply));
                *counts.entry(verdict(&reply)).or_default() += 1;
            }
            // What follows the first head is at most its body.
            assert!(replies <= 2, "{shown:?}: {replies} responses");
            let next = Http1::connect(server).await.ask(&good).await;
            assert_eq!(verdict(&next.unwrap()), "ok", "after {shown:?}");
        }
    }
    #[expect(clippy::print_stdout, reason = "shown where a test fails or is asked")]
    {
        println!("{count} cases: {counts:?}");
    }
    assert!(count >= 1_000, "{count}");
}
