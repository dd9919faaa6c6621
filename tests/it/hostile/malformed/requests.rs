//! Methods, content types, versions and timeouts that no protocol allows, and GET queries without a request or with more
//! than one.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};

use super::{
    super::message_format::{MessageFormat, with},
    Case, Expected, run,
};
use crate::client::procedures;

const CONTENT_TYPES: [&str; 13] = [
    "",
    "text/plain",
    "application",
    "application/",
    "application/jsonx",
    "application/json, application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/grpc+foo",
    "application/grpc+",
    "application/grpc-web+foo",
    "application/grpc-web-text+foo",
    "*/*",
];
/// Connect's content types for unary procedures, and those for streams.
const ONE_MESSAGE: [&str; 2] = ["application/json", "application/proto"];
const A_STREAM: [&str; 2] = ["application/connect+json", "application/connect+proto"];
const CONNECT_TIMEOUTS: [&str; 8] = ["", "0", "-1", "+1", "1.5", "1s", "0x10", "10000000000"];
const GRPC_TIMEOUTS: [&str; 8] = ["", "0S", "S", "1", "-1S", "1s", "123456789S", "1 S"];
const QUERIES: [(&str, &str); 27] = [
    ("", "http 415"),
    ("message=%7B%7D", "http 415"),
    ("encoding=&message=%7B%7D", "http 415"),
    ("encoding=xml&message=%7B%7D", "http 415"),
    ("encoding=JSON&message=%7B%7D", "http 415"),
    ("Encoding=json&message=%7B%7D", "http 415"),
    ("encoding=json;message=%7B%7D", "http 415"),
    ("encoding=json", "invalid_argument"),
    ("encoding=json&message=", "invalid_argument"),
    ("encoding=json&message=%7B", "invalid_argument"),
    ("encoding=json&message=%FF", "invalid_argument"),
    ("encoding=json&message=%", "invalid_argument"),
    ("encoding=json&message=%zz", "invalid_argument"),
    (
        "encoding=json&message=%7B%7D&message=%7B%7D",
        "invalid_argument",
    ),
    (
        "encoding=json&encoding=json&message=%7B%7D",
        "invalid_argument",
    ),
    (
        "encoding=json&message=%7B%7D&connect=v1&connect=v1",
        "invalid_argument",
    ),
    (
        "encoding=json&message=%7B%7D&connect=v2",
        "invalid_argument",
    ),
    ("encoding=json&message=%7B%7D&connect=", "invalid_argument"),
    ("encoding=json&message=%7B%7D&base64=2", "invalid_argument"),
    ("encoding=json&message=%7B%7D&base64=1", "invalid_argument"),
    ("encoding=json&message=e3&base64=1", "invalid_argument"),
    (
        "encoding=json&message=%2B%2F8%3D&base64=1",
        "invalid_argument",
    ),
    (
        "encoding=json&message=e30&base64=1&base64=1",
        "invalid_argument",
    ),
    ("encoding=proto&message=-_8&base64=1", "invalid_argument"),
    (
        "encoding=json&message=%7B%7D&compression=br",
        "unimplemented",
    ),
    (
        "encoding=json&message=%7B%7D&compression=gzip",
        "invalid_argument",
    ),
    (
        "encoding=json&message=YWJj&base64=1&compression=gzip",
        "invalid_argument",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_methods_content_types_versions_and_timeouts_are_refused_in_every_procedure() {
    let mut cases = Vec::new();
    for procedure in procedures() {
        let path = procedure.path();
        let may_get = procedure.takes_get();
        let json = MessageFormat::json_of(&procedure);
        let others = if procedure.is_stream() {
            ONE_MESSAGE
        } else {
            A_STREAM
        };
        let mut add = |name: &str, request, http2, expected| {
            cases.push(Case {
                name: format!("{name} to {path}"),
                request,
                http2,
                expected: Expected::Is(expected),
            });
        };
        for (index, content_type) in CONTENT_TYPES.into_iter().chain(others).enumerate() {
            let mut request = json.request(&path, "", b"{}");
            let value = HeaderValue::from_static(content_type);
            request.headers_mut().insert("content-type", value);
            add(content_type, request, index % 2 == 0, "http 415");
        }
        let mut none = json.request(&path, "", b"{}");
        none.headers_mut().remove("content-type");
        add("no content type", none, false, "http 415");
        let two = with(
            json.request(&path, "", b"{}"),
            "content-type",
            "application/json",
        );
        add("two content types", two, false, "http 415");

        for method in [
            "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "MKCOL", "get", "POSTT",
        ] {
            for http2 in [false, true] {
                let mut request = json.request(&path, "", b"{}");
                *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
                add(method, request, http2, "http 405");
            }
        }
        let mut get = json.raw(&path, "", b"");
        *get.method_mut() = Method::GET;
        add(
            "a plain GET",
            get,
            false,
            if may_get { "http 415" } else { "http 405" },
        );

        let version = |value| {
            with(
                json.request(&path, "", b"{}"),
                "connect-protocol-version",
                value,
            )
        };
        add("version 2", version("2"), false, "invalid_argument");
        add("version v1", version("v1"), true, "invalid_argument");
        for format in MessageFormat::of(&procedure) {
            let (name, _) = format.timeout;
            let timeouts = if name == "grpc-timeout" {
                GRPC_TIMEOUTS
            } else {
                CONNECT_TIMEOUTS
            };
            for timeout in timeouts {
                let message: &[u8] = if format.json { b"{}" } else { b"" };
                let request = with(format.request(&path, "", message), name, timeout);
                let name = format!("{name} {timeout:?} as {}", format.content_type);
                add(&name, request, format.http2, "invalid_argument");
            }
        }
    }
    let count = run(cases).await;
    assert!(count >= 1_000, "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_queries_without_exactly_one_request_are_refused_in_every_procedure() {
    let mut cases = Vec::new();
    for procedure in procedures() {
        for (query, expected) in QUERIES {
            let uri = format!("{}?{query}", procedure.path());
            let expected = if procedure.takes_get() {
                expected
            } else {
                "http 405"
            };
            for http2 in [false, true] {
                cases.push(Case {
                    name: format!("GET {uri}"),
                    request: Request::get(&uri).body(Bytes::new()).unwrap(),
                    http2,
                    expected: Expected::Is(expected),
                });
            }
        }
    }
    let count = run(cases).await;
    assert!(count >= 500, "{count}");
}
