//! Undecodable messages for every procedure, every protocol and both codecs.

use super::{super::message_format::MessageFormat, Case, Expected, run};
use crate::client::procedures;

/// Bytes that no protobuf decoder accepts, whatever the fields are.
const NOT_PROTO: [(&str, &[u8]); 14] = [
    ("a tag that is cut off", b"\xfa"),
    ("a varint that is cut off", b"\xc0\x3e\xff\xff"),
    (
        "a varint of 11 bytes",
        b"\xc0\x3e\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    (
        "a varint of more than 64 bits",
        b"\xc0\x3e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ),
    (
        "a tag of more than 32 bits",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
    ),
    ("a length that is cut off", b"\xc2\x3e\xff"),
    ("a length past the end", b"\xc2\x3e\x05ab"),
    ("a length of 4 GiB", b"\xc2\x3e\xff\xff\xff\xff\x0fab"),
    (
        "a length of 2^64 - 1",
        b"\xc2\x3e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
    ("half a fixed64", b"\xc1\x3e\x00\x00\x00\x00"),
    ("half a fixed32", b"\xc5\x3e\x00\x00"),
    ("the wire type 6", b"\xc6\x3e\x00"),
    ("the field number 0", b"\x02\x01a"),
    ("the end of a group that did not begin", b"\xc4\x3e"),
];

/// Messages that are valid or not depending on the procedure's fields.
const ODD_PROTO: [(&str, &[u8]); 6] = [
    ("a string that is not UTF-8", b"\x0a\x02\xff\xfe"),
    ("an overlong UTF-8 sequence", b"\x0a\x02\xc0\xaf"),
    ("a varint for the first field", b"\x08\x01"),
    (
        "a fixed64 for the first field",
        b"\x09\x00\x00\x00\x00\x00\x00\x00\x00",
    ),
    ("bytes for the third field", b"\x1a\x01\xff"),
    (
        "a negative enum value",
        b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ),
];

const NOT_JSON: [(&str, &[u8]); 14] = [
    ("nothing", b""),
    ("half an object", b"{"),
    ("half a key", b"{\"tokenI"),
    ("half a word", b"{\"x\":nul}"),
    ("a list", b"[]"),
    ("a string", b"\"x\""),
    ("a number", b"7"),
    ("two messages", b"{} {}"),
    ("a comma too many", b"{\"x\":1,}"),
    ("single quotes", b"{'x':1}"),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("a NUL", b"{}\0"),
    ("a key that is not UTF-8", b"{\"\xff\":1}"),
    ("UTF-16", b"{\0}\0"),
];

const ODD_JSON: [(&str, &[u8]); 4] = [
    ("half a surrogate pair", b"{\"note\":\"\\ud800\"}"),
    ("a key twice", b"{\"tokenId\":\"a\",\"tokenId\":\"b\"}"),
    ("a number out of range", b"{\"pageSize\":1e999}"),
    (
        "a list for a scalar",
        b"{\"tokenId\":[\"a\"],\"id\":[1],\"username\":{}}",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_messages_are_refused_in_every_procedure_and_protocol() {
    let deep_groups = [0xc3, 0x3e].repeat(20_000);
    let deep_lists = [b"{\"x\":".to_vec(), vec![b'['; 50_000]].concat();
    let mut cases = Vec::new();
    for procedure in procedures() {
        let path = procedure.path();
        for format in MessageFormat::of(&procedure) {
            let faults = |list: &[(&'static str, &'static [u8])]| list.to_vec();
            let (broken, odd, deep) = if format.json {
                (faults(&NOT_JSON), faults(&ODD_JSON), &deep_lists)
            } else {
                (faults(&NOT_PROTO), faults(&ODD_PROTO), &deep_groups)
            };
            let mut add = |name: &str, message: &[u8], expected| {
                cases.push(Case {
                    name: format!("{name} to {path} as {}", format.content_type),
                    request: format.request(&path, "", message),
                    http2: format.http2,
                    expected,
                });
            };
            for (name, message) in broken {
                add(name, message, Expected::Is("invalid_argument"));
            }
            for (name, message) in odd {
                add(name, message, Expected::NotTheServersFault);
            }
            add("deep nesting", deep, Expected::Is("invalid_argument"));
        }
    }
    let count = run(cases).await;
    assert!(count >= 2_000, "{count}");
}
