//! Reads a call's one message: unframed, decompressed, in protobuf, within the limit.

use std::{error::Error as _, io};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{
    call::Call,
    error, frame,
    json::{self, FieldViolation},
    method::Streaming,
    protocol::{Codec, Protocol},
    unknown_fields,
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
                unknown_fields::refuse(input, &message).map_err(FieldViolation::into_error)?;
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
