//! Replies in gRPC and gRPC-web: the status is in the trailers, which gRPC-web writes as the last frame of the
//! body, because browsers cannot read real ones.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

use super::{Encoder, Protocol, RpcContext, append, trailers_of};
use crate::server::{edge::frame, error::ApiError};

pub(super) fn success(
    encoder: &Encoder,
    call: &RpcContext,
    message: &[u8],
    compressed: bool,
) -> Response {
    let flags = if compressed { frame::COMPRESSED } else { 0 };
    let message = frame::wrap(flags, message);
    let trailers = success_trailers(call.take_trailers());
    let body = match encoder.wire.protocol {
        Protocol::Grpc => {
            let frames = vec![Frame::data(message), Frame::trailers(trailers)];
            Body::new(Frames(frames.into()))
        }
        protocol => {
            let all = [&message[..], &web_trailers(&trailers)].concat();
            Body::from(text(protocol, all.into()))
        }
    };
    let mut response = encoder.response(Some(call), body);
    add_encodings(response.headers_mut(), compressed);
    response
}

pub(super) fn failure(encoder: &Encoder, call: Option<&RpcContext>, error: &ApiError) -> Response {
    let trailers = error_trailers(encoder, error, trailers_of(call));
    let mut response = encoder.response(call, Body::empty());
    // Besides the content type.
    let has_headers = response.headers().len() > 1;
    add_encodings(response.headers_mut(), false);
    match encoder.wire.protocol {
        Protocol::Grpc if has_headers => {
            *response.body_mut() = Body::new(Frames(vec![Frame::trailers(trailers)].into()));
        }
        // Only a status: one block of header fields, gRPC's "Trailers-Only".
        Protocol::Grpc => append(response.headers_mut(), trailers),
        protocol => {
            *response.body_mut() = Body::from(text(protocol, web_trailers(&trailers)));
        }
    }
    response
}

/// The trailers of a call that succeeded.
pub(super) fn success_trailers(mut trailers: HeaderMap) -> HeaderMap {
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// The trailers of a call that failed.
pub(super) fn error_trailers(
    encoder: &Encoder,
    error: &ApiError,
    mut trailers: HeaderMap,
) -> HeaderMap {
    let status = tonic::Status::from(error.to_connect(encoder.with_reasons));
    if status.add_header(&mut trailers).is_err() {
        let internal = HeaderValue::from_static("13");
        trailers.insert("grpc-status", internal);
    }
    trailers
}

/// gRPC-web's frame for trailers.
pub(super) fn web_trailers(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        lines.put_slice(name.as_str().as_bytes());
        lines.put_slice(b": ");
        lines.put_slice(value.as_bytes());
        lines.put_slice(b"\r\n");
    }
    frame::wrap(frame::TRAILERS, &lines)
}

/// Bytes of a gRPC-web body, in base64 if the protocol is gRPC-web-text.
pub(super) fn text(protocol: Protocol, bytes: Bytes) -> Bytes {
    match protocol {
        Protocol::GrpcWebText => frame::to_base64(&bytes),
        _ => bytes,
    }
}

pub(super) fn add_encodings(headers: &mut HeaderMap, compressed: bool) {
    let gzip = HeaderValue::from_static("gzip");
    if compressed {
        headers.insert("grpc-encoding", gzip.clone());
    }
    headers.insert("grpc-accept-encoding", gzip);
}

/// A body whose frames are all known.
struct Frames(VecDeque<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
