//! Fourth step: reads the body and extracts its one message: unframed, decompressed, in protobuf, within the limit.
//! After this step every call is a POST of one plain message.

use std::{
    error::Error as _,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use connectrpc_axum::ConnectError;
use futures_util::future::BoxFuture;
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use super::{
    classified::{Call, not_classified},
    error, frame, gzip,
    json::{self, FieldViolation},
    method::Streaming,
    unknown_fields,
    wire::{Codec, Protocol},
};
use crate::server::limits::Limits;

/// Reads the message before the call goes to `inner`.
#[derive(Clone, Debug)]
pub struct Read<S> {
    pub(super) limits: Arc<Limits>,
    pub(super) inner: S,
}

impl<S> Service<Request<Body>> for Read<S>
where
    S: Service<Request<Body>, Response = Response, Error = ConnectError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.inner.clone();
        let limits = Arc::clone(&self.limits);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let call: &Call = parts.extensions.get().ok_or_else(not_classified)?;
            let message = message(body, call, &limits).await?;
            let message = match call.method.streaming() {
                Streaming::Unary => message,
                Streaming::Server | Streaming::Client => frame::wrap(0, &message),
            };
            inner
                .oneshot(Request::from_parts(parts, Body::from(message)))
                .await
        })
    }
}

async fn message(body: Body, call: &Call, limits: &Limits) -> Result<Bytes, ConnectError> {
    let protocol = call.wire.protocol;
    let limit = call.method.max_message_bytes(limits);
    let body = collect(body, frame::largest_body(protocol, limit), limit).await?;
    let body = match protocol {
        Protocol::GrpcWebText => frame::from_base64(&body)?,
        _ => body,
    };
    let message = if protocol.is_framed() {
        frame::only_message(&body, call.compressed, limit)?
    } else if call.compressed && !body.is_empty() {
        gzip::decompress(&body, limit)?
    } else if body.len() > limit {
        return Err(error::too_large(limit));
    } else {
        body
    };
    match call.wire.codec {
        Codec::Proto => {
            if call.refuses_unknown_fields {
                unknown_fields::refuse(call.method.input(), &message)
                    .map_err(FieldViolation::into_error)?;
            }
            Ok(message)
        }
        Codec::Json => json::to_proto(
            call.method.input(),
            &message,
            call.method.has_side_effects(),
        ),
    }
}

/// Reads the whole body, up to `most` bytes; beyond that, the error names `limit`.
pub(super) async fn collect(
    mut body: Body,
    most: usize,
    limit: usize,
) -> Result<Bytes, ConnectError> {
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
fn body_error(error: &axum::Error) -> ConnectError {
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
