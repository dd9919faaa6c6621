//! gRPC and gRPC-web: messages with a prefix, the status in trailers.

use std::borrow::Cow;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use prost::Message;
use tonic_types::pb::Status;

use super::{Failure, HttpResponse, reply::decode_detail};

const TRAILERS: u8 = 0x80;

/// `-bin` values come with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Connect's names for gRPC's status numbers.
pub(crate) const CODES: [&str; 17] = [
    "ok",
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

pub(crate) fn wrap(flags: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(flags);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// All frames of a body, with their flags.
pub(crate) fn split(mut body: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
        let [flags, a, b, c, d] = *prefix;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap();
        let (message, rest) = rest.split_at(length);
        frames.push((flags, message));
        body = rest;
    }
    assert!(body.is_empty(), "half a frame");
    frames
}

/// The messages of frames, which must have no flags.
pub(super) fn plain(frames: Vec<(u8, &[u8])>) -> Vec<&[u8]> {
    let messages = frames.into_iter().map(|(flags, message)| {
        assert_eq!(flags, 0, "a message without flags");
        message
    });
    messages.collect()
}

/// The messages, and how the trailers say that the call ended.
pub(super) fn stream(reply: &HttpResponse, web: bool) -> (Vec<&[u8]>, Result<(), Failure>) {
    let mut frames = split(&reply.body);
    let trailers = if web {
        let (flags, lines) = frames.pop().expect("gRPC-web ends with its trailers");
        assert_eq!(flags, TRAILERS);
        Cow::Owned(parse_trailers(lines))
    } else if reply.head.headers.contains_key("grpc-status") {
        assert!(frames.is_empty(), "nothing but trailers");
        Cow::Borrowed(&reply.head.headers)
    } else {
        Cow::Borrowed(&reply.trailers)
    };
    (plain(frames), failure(&trailers).map_or(Ok(()), Err))
}

/// The one message, or the failure.
pub(super) fn answer(reply: &HttpResponse, web: bool) -> Result<&[u8], Failure> {
    let (messages, end) = stream(reply, web);
    if let Err(failure) = end {
        assert!(messages.is_empty(), "a failure has no message");
        return Err(failure);
    }
    let [message] = messages[..] else {
        panic!("not one message: {messages:?}");
    };
    Ok(message)
}

fn parse_trailers(lines: &[u8]) -> HeaderMap {
    let lines = str::from_utf8(lines).unwrap().lines();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value.trim()).unwrap())
    });
    fields.collect()
}

fn failure(trailers: &HeaderMap) -> Option<Failure> {
    let text = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap());
    let code: usize = text("grpc-status").unwrap().parse().unwrap();
    if code == 0 {
        return None;
    }
    let message = percent_decode_str(text("grpc-message").unwrap_or_default());
    let message = message.decode_utf8().unwrap().into_owned();
    let status = BASE64.decode(text("grpc-status-details-bin").unwrap());
    let status = Status::decode(&status.unwrap()[..]).unwrap();
    assert_eq!(usize::try_from(status.code).unwrap(), code);
    assert_eq!(status.message, message);
    let details = status.details.iter();
    let details = details.map(|detail| {
        let name = detail.type_url.strip_prefix("type.googleapis.com/");
        decode_detail(name.unwrap(), &detail.value)
    });
    Some(Failure {
        code: CODES[code].to_owned(),
        message,
        details: details.collect(),
    })
}
