//! Reads a call's one message: unframed, decompressed, in protobuf, within the limit.

use std::{error::Error as _, io};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{Kind, MessageDescriptor};

use super::{
    call::Call,
    error, frame,
    json::{self, FieldViolation},
    method::Streaming,
    protocol::{Codec, Protocol},
};
use crate::server::{error::ApiError, limits::Limits};

/// The message as the router of handlers takes it.
pub(super) async fn message(
    body: &mut Body,
    call: &Call,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    let protocol = call.wire.protocol;
    let limit = call.method.max_message_bytes(limits);
    let body = match &call.in_query {
        Some(message) => message.clone(),
        None => collect(body, frame::largest_body(protocol, limit), limit).await?,
    };
    let body = match protocol {
        Protocol::GrpcWebText => frame::from_base64(&body)?,
        _ => body,
    };
    let message = if protocol.is_framed() {
        frame::only_message(&body, call.compressed, limit)?
    } else if call.compressed && !body.is_empty() {
        frame::decompress(&body, limit)?
    } else if body.len() > limit {
        return Err(error::too_large(limit));
    } else {
        body
    };
    let input = call.method.input();
    let message = match call.wire.codec {
        Codec::Json => json::to_proto(input, &message, call.method.has_side_effects())?,
        Codec::Proto => {
            if call.refuses_unknown_fields {
                refuse_unknown_fields(input, &message).map_err(FieldViolation::into_error)?;
            }
            message
        }
    };
    Ok(match call.method.streaming() {
        Streaming::Unary => message,
        Streaming::Server | Streaming::Client => frame::wrap(0, &message),
    })
}

/// Reads the whole body, up to `most` bytes; beyond that, the error names `limit`.
pub(super) async fn collect(body: &mut Body, most: usize, limit: usize) -> Result<Bytes, ApiError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| body_error(&error))?.into_data() else {
            continue;
        };
        if all.len() + data.len() > most {
            return Err(error::too_large(limit));
        }
        // Most bodies arrive as one chunk, which need not be copied. Partial chunks are: a few bytes could keep a
        // large buffer alive.
        if all.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Maps the errors of the listener's bodies: `TimedOut` for one that does not arrive in time, `OutOfMemory` for one
/// that exceeds the memory budget.
fn body_error(error: &axum::Error) -> ApiError {
    let mut source = error.source();
    while let Some(error) = source {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return error::deadline_exceeded(),
            Some(io::ErrorKind::OutOfMemory) => return error::overloaded(),
            _ => {}
        }
        source = error.source();
    }
    error::malformed("the body could not be read completely")
}

/// Rejects a message with an unknown field at any depth: an older server that changes something must not drop a newer
/// client's restriction. Invalid protobuf is left to the decoder.
fn refuse_unknown_fields(message: &MessageDescriptor, proto: &[u8]) -> Result<(), FieldViolation> {
    match first_unknown(message, proto, &DecodeContext::default()) {
        Ok(Some(path)) => Err(FieldViolation::new(path, "there is no such field")),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// The path of the first unknown field, such as `filter.99`.
fn first_unknown(
    message: &MessageDescriptor,
    mut proto: &[u8],
    context: &DecodeContext,
) -> Result<Option<String>, DecodeError> {
    while !proto.is_empty() {
        let (number, wire_type) = decode_key(&mut proto)?;
        let Some(field) = message.get_field(number) else {
            return Ok(Some(number.to_string()));
        };
        match field.kind() {
            Kind::Message(inner) if wire_type == WireType::LengthDelimited => {
                let length = decode_varint(&mut proto)?;
                let within = usize::try_from(length)
                    .ok()
                    .and_then(|end| proto.split_at_checked(end));
                let Some((value, rest)) = within else {
                    // Truncated: decoding will fail.
                    return Ok(None);
                };
                if let Some(path) = first_unknown(&inner, value, context)? {
                    return Ok(Some(format!("{}.{path}", field.json_name())));
                }
                proto = rest;
            }
            _ => skip_field(wire_type, number, &mut proto, context.clone())?,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        hallpass::v1::{LeakedToken, RevokeLeakedTokensRequest, RevokeTokensRequest, TokenFilter},
        pool,
    };
    use pbjson_types::Timestamp;
    use prost::Message;

    const UNKNOWN: &[u8] = &[0x9a, 0x06, 0x01, b'x']; // field 99

    fn path(name: &str, proto: &[u8]) -> Option<String> {
        let message = pool().get_message_by_name(&format!("hallpass.v1.{name}"));
        let refused = refuse_unknown_fields(&message.unwrap(), proto).err();
        refused.map(|violation| violation.into_error().message().to_owned())
    }

    fn message(path: &str) -> String {
        format!("{path}: there is no such field")
    }

    #[test]
    fn unknown_field_is_found_at_any_depth() {
        let known = RevokeTokensRequest {
            filter: Some(TokenFilter {
                scope: "a".to_owned(),
                unused_since: Some(Timestamp {
                    seconds: 1,
                    nanos: 2,
                }),
                ..TokenFilter::default()
            }),
            tokens: vec!["b".to_owned()],
            dry_run: true,
            ..RevokeTokensRequest::default()
        };
        let known = known.encode_to_vec();
        assert_eq!(path("RevokeTokensRequest", &known), None);
        assert_eq!(path("RevokeTokensRequest", UNKNOWN), Some(message("99")));
        let after = [&known, UNKNOWN].concat();
        assert_eq!(path("RevokeTokensRequest", &after), Some(message("99")));
        let in_filter = [&[0x0a, 4], UNKNOWN].concat();
        assert_eq!(
            path("RevokeTokensRequest", &in_filter),
            Some(message("filter.99"))
        );
        let in_time = [&[0x0a, 6, 0x32, 4], UNKNOWN].concat();
        assert_eq!(
            path("RevokeTokensRequest", &in_time),
            Some(message("filter.unusedSince.99"))
        );
        let first = LeakedToken::default();
        let leaked = RevokeLeakedTokensRequest {
            tokens: vec![first],
            dry_run: false,
        };
        let second = [&*leaked.encode_to_vec(), &[0x0a, 4], UNKNOWN].concat();
        assert_eq!(
            path("RevokeLeakedTokensRequest", &second),
            Some(message("tokens.99"))
        );
    }

    #[test]
    fn invalid_protobuf_is_left_to_the_decoder() {
        for proto in [
            &[0xff][..],
            &[0x0a, 9, 0],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x0c],
            &[0x00],
        ] {
            assert_eq!(path("RevokeTokensRequest", proto), None, "{proto:?}");
        }
    }
}
