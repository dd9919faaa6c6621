//! Request smuggling. Behind a proxy that reads lengths differently, a body to one is a request to the
//! other. Here each attack must get at most one response, and the smuggled request, which would delete a token,
//! must never be executed.

use super::{CURRENT_USER, http1::Http1, message_format::verdict};
use crate::test_app::TestApp;

const DELETE: &str = "/hallpass.v1.TokenService/DeleteToken";

/// How the outer request declares its end.
struct Attack {
    name: &'static str,
    /// Header fields. `{all}` is the length of the body, `{chunk}` that of the smuggled request.
    fields: &'static str,
    /// The body. `{it}` is the smuggled request.
    body: &'static str,
}

const fn attack(name: &'static str, fields: &'static str, body: &'static str) -> Attack {
    Attack { name, fields, body }
}

const LAST: &str = "0\r\n\r\n{it}";

const ATTACKS: [Attack; 31] = [
    attack(
        "CL.TE",
        "Content-Length: {all}\r\nTransfer-Encoding: chunked",
        LAST,
    ),
    attack(
        "TE.CL",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "{chunk}\r\n{it}\r\n0\r\n\r\n",
    ),
    attack(
        "CL.CL, the larger first",
        "Content-Length: {all}\r\nContent-Length: 2",
        "{}{it}",
    ),
    attack(
        "CL.CL, the smaller first",
        "Content-Length: 2\r\nContent-Length: {all}",
        "{}{it}",
    ),
    attack("CL as a list", "Content-Length: 2, {all}", "{}{it}"),
    attack("CL with a sign", "Content-Length: +2", "{}{it}"),
    attack("CL in hexadecimal", "Content-Length: 0x2", "{}{it}"),
    attack("CL with a space", "Content-Length : {all}", "{}{it}"),
    attack("CL folded", "Content-Length:\r\n 2", "{}{it}"),
    attack(
        "CL after a bare CR",
        "X: y\rContent-Length: {all}",
        "{}{it}",
    ),
    attack(
        "CL too large",
        "Content-Length: 18446744073709551618",
        "{}{it}",
    ),
    attack(
        "a name like CL",
        "Content_Length: 2\r\nContent-Length: {all}",
        "{}{it}",
    ),
    attack(
        "TE with a space",
        "Content-Length: {all}\r\nTransfer-Encoding : chunked",
        LAST,
    ),
    attack(
        "TE with a tab",
        "Content-Length: {all}\r\nTransfer-Encoding\t: chunked",
        LAST,
    ),
    attack(
        "TE folded",
        "Content-Length: {all}\r\nTransfer-Encoding:\r\n chunked",
        LAST,
    ),
    attack(
        "TE after a fold",
        "Content-Length: {all}\r\nX: y\r\n Transfer-Encoding: chunked",
        LAST,
    ),
    attack(
        "TE after a bare LF",
        "Content-Length: {all}\r\nX: y\nTransfer-Encoding: chunked",
        LAST,
    ),
    attack(
        "TE after a bare CR",
        "Content-Length: {all}\r\nX: y\rTransfer-Encoding: chunked",
        LAST,
    ),
    attack(
        "TE with a vertical tab",
        "Content-Length: {all}\r\nTransfer-Encoding:\x0bchunked",
        LAST,
    ),
    attack(
        "TE of another name",
        "Content-Length: {all}\r\nTransfer-Encoding: xchunked",
        LAST,
    ),
    attack(
        "TE in quotes",
        "Content-Length: {all}\r\nTransfer-Encoding: \"chunked\"",
        LAST,
    ),
    attack(
        "TE and more",
        "Content-Length: {all}\r\nTransfer-Encoding: chunked, x",
        LAST,
    ),
    attack(
        "TE twice",
        "Content-Length: {all}\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked",
        LAST,
    ),
    attack(
        "TE, then identity",
        "Content-Length: {all}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        LAST,
    ),
    attack(
        "a name like TE",
        "Content-Length: {all}\r\nTransfer_Encoding: chunked",
        LAST,
    ),
    attack(
        "a chunk size that overflows",
        "Transfer-Encoding: chunked",
        "10000000000000002\r\n{}\r\n0\r\n\r\n{it}",
    ),
    attack(
        "a chunk size in C's manner",
        "Transfer-Encoding: chunked",
        "0x2\r\n{}\r\n0\r\n\r\n{it}",
    ),
    attack(
        "a chunk that ends with LF",
        "Transfer-Encoding: chunked",
        "2\n{}\n0\n\n{it}",
    ),
    attack(
        "a chunk longer than it says",
        "Transfer-Encoding: chunked",
        "2\r\n{}xx\r\n0\r\n\r\n{it}",
    ),
    attack(
        "an extension with LF",
        "Transfer-Encoding: chunked",
        "2;x\n{chunk}\r\n{it}\r\n0\r\n\r\n",
    ),
    attack("a body, to a GET", "Content-Length: {all}", "{it}"),
];

struct Victim {
    test: TestApp,
    token: String,
    smuggled: String,
}

impl Victim {
    async fn new() -> Self {
        let test = TestApp::start_with(|settings| settings.server.limits.drain_bytes = 1024).await;
        let victim = test.sign_in(&test.admin, serde_json::json!({})).await;
        let body = serde_json::json!({ "tokenId": victim.id }).to_string();
        let smuggled = format!(
            "POST {DELETE} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            test.admin.token,
            body.len()
        );
        let token = victim.text;
        Self {
            test,
            token,
            smuggled,
        }
    }

    /// The outer request.
    fn wrap(&self, line: &str, fields: &str, body: &str) -> Vec<u8> {
        let chunk = format!("{:x}", self.smuggled.len());
        let body = body
            .replace("{it}", &self.smuggled)
            .replace("{chunk}", &chunk);
        let fields = fields.replace("{all}", &body.len().to_string());
        let token = &self.test.admin.token;
        format!(
            "{line}\r\nHost: h\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             {fields}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Sends the attack: at most one response may come, and the token must survive.
    async fn survives(&self, name: &str, bytes: &[u8]) -> Option<String> {
        let mut socket = Http1::connect(self.test.client.server).await;
        socket.write(bytes).await;
        socket.finish().await;
        let first = socket.read().await.map(|reply| verdict(&reply));
        let second = socket.read().await;
        assert!(
            second.is_none(),
            "{name}: a second response after {first:?}"
        );
        assert!(self.test.accepts(&self.token).await, "{name}: executed");
        first
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smuggled_request_is_never_executed() {
    let victim = Victim::new().await;
    let post = format!("POST {CURRENT_USER} HTTP/1.1");
    let get = format!("GET {CURRENT_USER}?encoding=json&message=%7B%7D HTTP/1.1");
    for Attack { name, fields, body } in ATTACKS {
        let line = if name.ends_with("GET") { &get } else { &post };
        victim
            .survives(name, &victim.wrap(line, fields, body))
            .await;
    }
    let old = format!("POST {CURRENT_USER} HTTP/1.0");
    let kept = "Connection: keep-alive\r\nContent-Length: {all}\r\nTransfer-Encoding: chunked";
    victim
        .survives("HTTP/1.0", &victim.wrap(&old, kept, LAST))
        .await;
    let connect = "CONNECT h:80 HTTP/1.1";
    let said = victim
        .survives(
            "CONNECT",
            &victim.wrap(connect, "Content-Length: {all}", "{it}"),
        )
        .await;
    assert_ne!(said.as_deref(), Some("ok"));

    // The control: sent openly, the request is executed.
    let open = victim.wrap(&post, "Content-Length: 2", "{}{it}");
    let mut socket = Http1::connect(victim.test.client.server).await;
    socket.write(&open).await;
    for _ in 0..2 {
        assert_eq!(verdict(&socket.read().await.unwrap()), "ok");
    }
    assert!(!victim.test.accepts(&victim.token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_of_a_refused_request_is_never_parsed_as_the_next_request() {
    let victim = Victim::new().await;
    let post = |path: &str| format!("POST {path} HTTP/1.1");
    let filled = format!("{}{{it}}", " ".repeat(4_000));
    let long = format!("X: {}\r\nContent-Length: {{all}}", "y".repeat(20_000));
    let large = format!("{}{{it}}", " ".repeat(80_000));
    for (name, path, fields, body, expected) in [
        (
            "not read for want of leave",
            "/x.Y/Z",
            "Expect: 100-continue\r\nContent-Length: {all}",
            "{it}",
            "unimplemented",
        ),
        (
            "more than is drained",
            "/x.Y/Z",
            "Content-Length: {all}",
            &filled,
            "unimplemented",
        ),
        (
            "no such page",
            "/x",
            "Content-Length: {all}",
            "{it}",
            "http 404",
        ),
        (
            "no such page, and more than is drained",
            "/x",
            "Content-Length: {all}",
            &filled,
            "http 404",
        ),
        (
            "a header that is too large",
            CURRENT_USER,
            &long,
            "{it}",
            "resource_exhausted",
        ),
        (
            "a message that is too large",
            CURRENT_USER,
            "Content-Length: {all}",
            &large,
            "resource_exhausted",
        ),
    ] {
        let bytes = victim.wrap(&post(path), fields, body);
        let said = victim.survives(name, &bytes).await;
        // If more was sent than read, the response may be lost with the connection.
        assert!(
            said.as_deref().is_none_or(|said| said == expected),
            "{name}: {said:?}"
        );
    }
}
