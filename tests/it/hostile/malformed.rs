//! Broken requests for every procedure and protocol: each is refused as the client's fault, in
//! its own protocol and in time, and the next request is served.

mod heads;
mod messages;
mod requests;
mod streams;

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use http::Request;

use super::{
    CURRENT_USER,
    http1::Http1,
    http2::Http2,
    message_format::{MessageFormat, blames_the_server, verdict},
};
use crate::test_app::TestApp;

/// A broken request.
struct Case {
    name: String,
    request: Request<Bytes>,
    http2: bool,
    expected: Expected,
}

#[derive(Clone, Copy)]
enum Expected {
    /// This result.
    Is(&'static str),
    /// Success or any client error, depending on the procedure.
    NotTheServersFault,
}

/// Connections that all cases share: no case may break one.
struct Connections {
    server: SocketAddr,
    good: Request<Bytes>,
    http1: Http1,
    http2: Http2,
}

impl Connections {
    async fn open(server: SocketAddr, token: &str) -> Self {
        Self {
            server,
            good: MessageFormat::JSON.request(CURRENT_USER, token, b"{}"),
            http1: Http1::connect(server).await,
            http2: Http2::connect(server).await,
        }
    }

    /// Sends a case, then a good request on the same connection.
    async fn check(&mut self, case: &Case) -> String {
        let name = &case.name;
        let (reply, next) = if case.http2 {
            let reply = self.http2.ask(&case.request).await;
            let reply = reply.unwrap_or_else(|error| panic!("{name}: {error}"));
            (reply, self.http2.ask(&self.good).await.ok())
        } else {
            let reply = self.http1.ask(&case.request).await;
            let reply = reply.unwrap_or_else(|| panic!("{name}: closed"));
            (reply, self.http1.ask(&self.good).await)
        };
        let next = next.unwrap_or_else(|| panic!("{name}: the connection was closed after it"));
        assert_eq!(verdict(&next), "ok", "after {name}");
        let verdict = verdict(&reply);
        match case.expected {
            Expected::Is(expected) => assert_eq!(verdict, expected, "{name}"),
            Expected::NotTheServersFault => {
                assert!(!blames_the_server(&reply), "{name}: {verdict}");
            }
        }
        verdict
    }

    /// Whether a new connection is served.
    async fn assert_served(&self) {
        let reply = Http1::connect(self.server).await.ask(&self.good).await;
        assert_eq!(verdict(&reply.unwrap()), "ok");
    }
}

/// Sends all cases; returns how many there were.
async fn run(cases: Vec<Case>) -> usize {
    let test = TestApp::start().await;
    let mut connections = Connections::open(test.client.server, &test.admin.token).await;
    let count = cases.len();
    let mut verdicts = BTreeMap::<String, usize>::new();
    for mut case in cases {
        let bearer = format!("Bearer {}", test.admin.token);
        let headers = case.request.headers_mut();
        headers.insert("authorization", bearer.parse().unwrap());
        *verdicts.entry(connections.check(&case).await).or_default() += 1;
        connections.assert_served().await;
    }
    #[expect(clippy::print_stdout, reason = "shown where a test fails or is asked")]
    {
        println!("{count} cases: {verdicts:?}");
    }
    count
}
