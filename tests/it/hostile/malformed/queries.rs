//! Connect GET: queries without a request, or with more than one.

use bytes::Bytes;
use http::Request;

use super::{Case, Expected, run};
use crate::client::procedures;

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
