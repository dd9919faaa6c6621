//! Writes replies and errors in the caller's protocol.

mod connect;
mod grpc;
mod stream;

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt;

use super::{
    error, frame,
    handlers::RpcContext,
    json,
    method::Streaming,
    protocol::{Codec, Protocol, Wire},
};
use crate::server::{
    context::{CallResult, RequestContext},
    error::ApiError,
    limits::Limits,
};

/// All that it takes to write a reply.
#[derive(Clone)]
pub(super) struct Encoder {
    pub(super) wire: Wire,
    pub(super) limits: Arc<Limits>,
    /// Whether errors say their reason.
    pub(super) with_reasons: bool,
}

impl Encoder {
    /// The reply of a handler; for a stream, once its first message is known.
    pub(super) async fn success(
        &self,
        call: &RpcContext,
        body: Body,
    ) -> Result<Response, ApiError> {
        if call.call().method.streaming() != Streaming::Unary {
            return stream::success(self, body, Some(call.clone())).await;
        }
        let message = body.collect().await.map_err(|_| unreadable())?.to_bytes();
        let message = self.transcode(call, message)?;
        let (message, compressed) = self.compress(message)?;
        Ok(match self.wire.protocol {
            Protocol::Connect | Protocol::ConnectGet | Protocol::ConnectStream => {
                connect::success(self, call, message, compressed)
            }
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                grpc::success(self, call, &message, compressed)
            }
        })
    }

    /// The reply of tonic's reflection, as a Connect stream.
    pub(super) async fn reflection(&self, body: Body) -> Result<Response, ApiError> {
        stream::success(self, body, None).await
    }

    /// Writes the error if there is one, adds what every reply has, and notes the result.
    pub(super) fn finish(
        &self,
        context: &RequestContext,
        call: Option<&RpcContext>,
        written: Result<Response, ApiError>,
    ) -> Response {
        let (mut response, error) = match written {
            Ok(response) => (response, None),
            Err(error) => {
                if let Some(reason) = error.reason() {
                    context.note_reason(reason);
                }
                (self.failure(call, &error), Some(error.code()))
            }
        };
        let no_store = HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, no_store);
        let protocol = Some(self.wire.protocol.name());
        context.note_call(CallResult { protocol, error });
        response
    }

    fn failure(&self, call: Option<&RpcContext>, error: &ApiError) -> Response {
        match self.wire.protocol {
            Protocol::Connect | Protocol::ConnectGet => connect::failure(self, call, error),
            Protocol::ConnectStream => stream::failure(self, call, error),
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                grpc::failure(self, call, error)
            }
        }
    }

    /// A response with this body, the handler's header fields and the protocol's content type.
    fn response(&self, call: Option<&RpcContext>, body: Body) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        *headers = call.map(RpcContext::take_headers).unwrap_or_default();
        let content_type = HeaderValue::from_static(self.wire.content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        response
    }

    fn transcode(&self, call: &RpcContext, message: Bytes) -> Result<Bytes, ApiError> {
        match self.wire.codec {
            Codec::Json => json::to_json(call.call().method.output(), &message),
            Codec::Proto => Ok(message),
        }
    }

    fn compress(&self, message: Bytes) -> Result<(Bytes, bool), ApiError> {
        if self.wire.accepts_gzip && message.len() >= self.limits.compress_min_bytes {
            Ok((frame::compress(&message)?, true))
        } else {
            Ok((message, false))
        }
    }
}

fn trailers_of(call: Option<&RpcContext>) -> HeaderMap {
    call.map(RpcContext::take_trailers).unwrap_or_default()
}

fn unreadable() -> ApiError {
    error::internal("the reply cannot be read")
}

/// Appends header fields to those that exist.
fn append(headers: &mut HeaderMap, more: HeaderMap) {
    let mut last: Option<HeaderName> = None;
    for (name, value) in more {
        // `None` means the same name as before.
        last = name.or(last);
        if let Some(name) = &last {
            headers.append(name, value);
        }
    }
}
