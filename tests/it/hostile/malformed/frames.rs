//! Frames, compression and base64 that contradict their declaration.

use super::{
    super::message_format::{Framing, MessageFormat, gzip, with},
    Case, Expected, run,
};
use crate::client::{procedures, wrap_frame};

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
