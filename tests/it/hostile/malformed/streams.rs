//! HTTP/2 that is broken below the protocols: pseudo-headers, header blocks, frames.

use super::{
    super::{
        CURRENT_USER,
        http1::REPLY_TIMEOUT,
        http2::{
            ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM,
            RawHttp2, SETTINGS, WINDOW_UPDATE, fields, frame,
        },
    },
    Connections,
};
use crate::test_app::TestApp;

/// What happens to the first stream.
#[derive(Debug, PartialEq)]
enum StreamResult {
    Status(u16),
    Reset,
    /// The whole connection is ended.
    Ended,
}

type Field<'a> = (&'a str, &'a str);

const METHOD: Field<'_> = (":method", "POST");
const SCHEME: Field<'_> = (":scheme", "http");
const AUTHORITY: Field<'_> = (":authority", "h");
const PATH: Field<'_> = (":path", CURRENT_USER);
const TYPE: Field<'_> = ("content-type", "application/json");

/// Header fields of a request that must not be served.
fn bad_heads() -> Vec<Vec<Field<'static>>> {
    let whole = [METHOD, SCHEME, AUTHORITY, PATH, TYPE];
    let without = |name: &str| whole.into_iter().filter(|field| field.0 != name).collect();
    let and = |field| whole.into_iter().chain([field]).collect();
    let with = |name: &str, value| {
        whole
            .into_iter()
            .map(|field| {
                if field.0 == name {
                    (field.0, value)
                } else {
                    field
                }
            })
            .collect()
    };
    let mut heads: Vec<Vec<Field<'static>>> = [":method", ":scheme", ":path", ":authority"]
        .map(without)
        .into();
    heads.extend(whole.into_iter().take(4).map(|field| {
        // A pseudo-header twice.
        [field].into_iter().chain(whole).collect()
    }));
    heads.extend(whole.into_iter().take(4).map(|field| {
        // A pseudo-header after the others.
        whole
            .into_iter()
            .filter(|other| *other != field)
            .chain([field])
            .collect()
    }));
    heads.extend(
        [
            (":status", "200"),
            (":protocol", "websocket"),
            (":x", "y"),
            (":", "x"),
        ]
        .map(|field| [field].into_iter().chain(whole).collect::<Vec<_>>()),
    );
    heads.extend(
        [
            ("", "x"),
            ("Upper", "x"),
            ("with space", "x"),
            ("with\0nul", "x"),
            ("with:colon", "x"),
            ("x", "a\0b"),
            ("x", "a\nb"),
            ("x", "a\r\nb: c"),
            ("connection", "close"),
            ("keep-alive", "x"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("host", "other"),
            ("content-length", "5"),
            ("content-length", "x"),
            ("content-length", "-1"),
        ]
        .map(and),
    );
    heads.extend([
        with(":path", ""),
        with(":path", "x"),
        with(":path", "*"),
        with(":path", "/\u{e9}"),
        with(":path", "/ x"),
        with(":path", "/x\r\ny"),
        with(":method", ""),
        with(":method", "P T"),
        with(":method", "CONNECT"),
        with(":method", "TRACE"),
        with(":scheme", ""),
        with(":scheme", "1"),
        with(":authority", "a@b@c"),
        with(":authority", "a b"),
    ]);
    heads
}

/// Bytes that break the rules of frames.
fn bad_frames() -> Vec<Vec<u8>> {
    let good = fields(&[METHOD, SCHEME, AUTHORITY, PATH, TYPE]);
    let open = frame(HEADERS, END_HEADERS, 1, &good);
    let after = |bytes: Vec<u8>| [&open[..], &bytes].concat();
    let settings = |name: u8, value: u32| {
        frame(
            SETTINGS,
            0,
            0,
            &[&[0, name], &value.to_be_bytes()[..]].concat(),
        )
    };
    let flood = (0..2_000).flat_map(|_| frame(CONTINUATION, 0, 1, &fields(&[("x", "y")])));
    vec![
        frame(DATA, END_STREAM, 0, b"{}"),
        frame(DATA, END_STREAM, 1, b"{}"),
        frame(HEADERS, END_HEADERS, 0, &good),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, &good),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &good[..good.len() - 3],
        ),
        frame(HEADERS, END_HEADERS | END_STREAM | 8, 1, &[255, 0, 0]),
        frame(HEADERS, END_HEADERS | END_STREAM | 32, 1, &[0, 0, 0, 1, 0]),
        [
            frame(HEADERS, END_STREAM, 1, &good),
            frame(PING, 0, 0, &[0; 8]),
        ]
        .concat(),
        [
            frame(HEADERS, END_STREAM, 1, &good),
            frame(CONTINUATION, END_HEADERS, 3, &[]),
        ]
        .concat(),
        [frame(HEADERS, 0, 1, &good), flood.collect()].concat(),
        frame(CONTINUATION, END_HEADERS, 1, &good),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        after(frame(RST_STREAM, 0, 1, &[0; 3])),
        frame(SETTINGS, 0, 1, &[]),
        frame(SETTINGS, ACK, 0, &[0; 6]),
        frame(SETTINGS, 0, 0, &[0; 5]),
        settings(2, 2),
        settings(4, 0x8000_0000),
        settings(5, 1),
        frame(PING, 0, 1, &[0; 8]),
        frame(PING, 0, 0, &[0; 7]),
        frame(GOAWAY, 0, 1, &[0; 8]),
        frame(GOAWAY, 0, 0, &[0; 3]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        after(frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
        after(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])),
        after(frame(DATA, END_STREAM | 8, 1, &[255, 0, 0])),
        frame(5, END_HEADERS, 1, &[0, 0, 0, 2]),
        vec![0xff; 100],
        frame(DATA, 0, 1, &[0; 20_000]),
    ]
}

/// What happens to stream 1, or to the whole connection.
async fn outcome(socket: &mut RawHttp2) -> StreamResult {
    loop {
        let Some(frame) = socket.read(REPLY_TIMEOUT).await else {
            return StreamResult::Ended;
        };
        match frame.kind {
            HEADERS => return StreamResult::Status(frame.status()),
            RST_STREAM => return StreamResult::Reset,
            GOAWAY => return StreamResult::Ended,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_http2_heads_are_never_served_and_end_at_most_their_connection() {
    let test = TestApp::start().await;
    let connections = Connections::open(test.client.server, &test.admin.token).await;
    let heads = bad_heads();
    let bearer = format!("Bearer {}", test.admin.token);
    for head in &heads {
        let head: Vec<_> = head
            .iter()
            .copied()
            .chain([("authorization", &*bearer)])
            .collect();
        let mut socket = RawHttp2::connect(test.client.server).await;
        socket
            .write(&frame(HEADERS, END_HEADERS, 1, &fields(&head)))
            .await;
        socket.write(&frame(DATA, END_STREAM, 1, b"{}")).await;
        let said = outcome(&mut socket).await;
        if let StreamResult::Status(status) = said {
            assert!(
                (400..=499).contains(&status) || status == 501,
                "{head:?}: {status}"
            );
        }
        connections.assert_served().await;
    }
    assert!(heads.len() >= 40, "{}", heads.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_http2_frames_end_a_stream_or_their_connection_in_time() {
    let test = TestApp::start().await;
    let connections = Connections::open(test.client.server, &test.admin.token).await;
    let cases = bad_frames();
    for bytes in &cases {
        let mut socket = RawHttp2::connect(test.client.server).await;
        socket.write(bytes).await;
        let said = outcome(&mut socket).await;
        assert!(
            matches!(said, StreamResult::Reset | StreamResult::Ended),
            "{bytes:?}: {said:?}"
        );
        connections.assert_served().await;
    }
    assert!(cases.len() >= 30, "{}", cases.len());
}
