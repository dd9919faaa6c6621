//! A response says `Connection: close` if and only if the server closes the connection after it (RFC 9112, 9.6).

use std::time::Duration;

use super::{
    CREATE, CURRENT_USER,
    http1::{Http1, REPLY_TIMEOUT},
};
use crate::test_app::TestApp;

fn head(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{fields}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_that_closes_the_connection_says_so() {
    let test = TestApp::start_with(|settings| {
        let limits = &mut settings.server.limits;
        limits.drain_bytes = 1024;
        limits.drain_timeout = Duration::from_millis(50);
        limits.anonymous_body_timeout = Duration::from_millis(300);
    })
    .await;
    let crowded = "X: y\r\n".repeat(1_000);
    let filled = format!("X: {}\r\n", "y".repeat(200_000));
    let target = format!("/{}", "y".repeat(70_000));
    let late = "Content-Length: 9\r\n";
    let long = "Content-Length: 100000\r\n";
    let waiting = "Content-Length: 9\r\nExpect: 100-continue\r\n";
    let form = "POST /oauth2/revoke HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\nto";
    for (what, request, closes) in [
        ("no HTTP", "nonsense\r\n\r\n".to_owned(), true),
        ("too many fields for hyper", head(CREATE, &crowded), true),
        ("a head too large for hyper", head(CREATE, &filled), true),
        ("a target too long for hyper", head(&target, ""), true),
        ("a body that is late", head(CREATE, late), true),
        ("a form that is late", form.to_owned(), true),
        ("a refusal before a body", head(CURRENT_USER, waiting), true),
        ("a page asked with a body", head("/nope", waiting), true),
        (
            "a body beyond the drain",
            head(CURRENT_USER, long) + &"y".repeat(5_000),
            true,
        ),
        (
            "a transfer coding",
            head(CREATE, "Transfer-Encoding: gzip, chunked\r\n"),
            true,
        ),
        (
            "no credential",
            head(CURRENT_USER, "Content-Length: 2\r\n") + "{}",
            false,
        ),
        (
            "no such page",
            head("/nope", "Content-Length: 2\r\n") + "{}",
            false,
        ),
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned(), false),
    ] {
        let mut socket = Http1::connect(test.client.server).await;
        socket.write(request.as_bytes()).await;
        let reply = socket
            .read()
            .await
            .unwrap_or_else(|| panic!("{what}: no reply"));
        assert!(
            reply.head.status.as_u16() >= 400,
            "{what}: {:?}",
            reply.head
        );
        let says = reply
            .head
            .headers
            .get("connection")
            .is_some_and(|v| v == "close");
        assert_eq!(says, closes, "{what}: {:?}", reply.head);
        if closes {
            assert!(
                socket.is_closed_within(REPLY_TIMEOUT).await,
                "{what}: still open"
            );
        } else {
            socket
                .write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                .await;
            assert_eq!(
                socket
                    .read()
                    .await
                    .expect("the connection stays open")
                    .head
                    .status,
                200,
                "{what}"
            );
        }
    }
}
