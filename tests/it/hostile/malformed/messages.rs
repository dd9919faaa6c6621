//! Undecodable messages, and frames, compression and base64 that contradict their declaration, for every procedure and
//! protocol.

use super::{
    super::message_format::{Framing, MessageFormat, gzip, with},
    Case, Expected, run,
};
use crate::client::{procedures, wrap_frame};

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

/// Bodies of the framed protocols, before base64, and the expected error.
fn framed(message: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = wrap_frame(0, message);
    let flags = |flags| wrap_frame(flags, message).to_vec();
    let two = [&whole[..], &whole[..]].concat();
    let cut = [&[0, 0, 0, 0, 200], message].concat();
    vec![
        ("no message", vec![], "unimplemented"),
        ("half a prefix", vec![0, 0, 0], "invalid_argument"),
        ("half a message", cut, "invalid_argument"),
        (
            "4 GiB to come",
            vec![0, 0xff, 0xff, 0xff, 0xff],
            "invalid_argument",
        ),
        ("flag 2", flags(2), "invalid_argument"),
        ("flag 4", flags(4), "invalid_argument"),
        ("the flag of trailers", flags(0x80), "invalid_argument"),
        ("all flags", flags(0xff), "invalid_argument"),
        ("two messages", two, "unimplemented"),
        (
            "something after the message",
            [&whole[..], &[0]].concat(),
            "unimplemented",
        ),
        // gRPC's specification demands `internal` here.
        (
            "packed without an encoding",
            wrap_frame(1, &gzip(message)).to_vec(),
            "internal",
        ),
    ]
}

/// Bytes that are not gzip.
fn not_gzip(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let packed = gzip(message);
    let mut wrong_sum = packed.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    vec![
        ("plain text", b"hello".to_vec()),
        ("half a header", packed[..5].to_vec()),
        ("cut off", packed[..packed.len() - 3].to_vec()),
        ("a wrong checksum", wrong_sum),
        ("something after it", [&packed[..], b"x"].concat()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inconsistent_frames_and_encodings_are_refused_in_every_procedure() {
    let mut cases = Vec::new();
    for procedure in procedures() {
        let path = procedure.path();
        for format in MessageFormat::of(&procedure) {
            let message: &[u8] = if format.json { b"{}" } else { b"" };
            let mut add = |name: &str, request, expected| {
                cases.push(Case {
                    name: format!("{name} to {path} as {}", format.content_type),
                    request,
                    http2: format.http2,
                    expected: Expected::Is(expected),
                });
            };
            for (name, packed) in not_gzip(message) {
                let request = format.packed(&path, "", &packed);
                add(name, request, "invalid_argument");
            }
            for encoding in ["br", "deflate", "gzip, gzip", "", "x\u{e9}"] {
                let request = format.request(&path, "", message);
                let request = with(request, format.encoding, encoding);
                add(encoding, request, "unimplemented");
            }
            let twice = format.request(&path, "", message);
            let twice = with(
                with(twice, format.encoding, "gzip"),
                format.encoding,
                "identity",
            );
            add("two encodings", twice, "unimplemented");
            if format.framing != Framing::None {
                for (name, body, expected) in framed(message) {
                    add(name, format.raw(&path, "", &body), expected);
                }
            }
            if format.framing == Framing::Base64 {
                for text in ["=", "A", "AAAAA", "AA=A", "!!!!", "AA\u{e9}A"] {
                    let mut request = format.request(&path, "", message);
                    *request.body_mut() = text.to_owned().into();
                    add(text, request, "invalid_argument");
                }
            }
        }
    }
    let count = run(cases).await;
    assert!(count >= 1_000, "{count}");
}
