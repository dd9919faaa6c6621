//! Replies of server streams. The router's reply is a Connect stream in protobuf: its messages are framed again,
//! and its end is written in the caller's protocol.

use std::{convert::Infallible, panic::AssertUnwindSafe};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use connectrpc_axum::message::build_end_stream_frame;
use futures_util::{FutureExt, stream};
use http::HeaderValue;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde::Deserialize;

use super::{Encoder, Protocol, RpcContext, grpc, trailers_of, unreadable};
use crate::server::{
    edge::{error, frame, handlers::ErrorJson, protocol},
    error::ApiError,
};

/// Waits for the first message: an error before it is an ordinary error for client, log and metrics. `call`: the
/// handler's context; tonic's reflection has none.
pub(super) async fn success(
    encoder: &Encoder,
    body: Body,
    call: Option<RpcContext>,
) -> Result<Response, ApiError> {
    let mut source = Source {
        body,
        buffer: Bytes::new(),
        call,
        first: None,
    };
    let first = match source.next().await {
        Next::End(Some(error)) => return Err(error),
        first => first,
    };
    source.first = Some(first);
    // The handler has run: what it adds from now on can only be a trailer.
    let mut response = encoder.response(source.call.as_ref(), Body::empty());
    let headers = response.headers_mut();
    let gzip = HeaderValue::from_static("gzip");
    match encoder.wire.protocol {
        Protocol::ConnectStream if encoder.wire.accepts_gzip => {
            headers.insert(protocol::CONNECT_CONTENT_ENCODING, gzip);
        }
        Protocol::ConnectStream => {}
        _ => grpc::add_encodings(headers, encoder.wire.accepts_gzip),
    }
    let state = Some((encoder.clone(), source));
    let frames = stream::unfold(state, |state| async {
        let (encoder, mut source) = state?;
        let call = source.call.clone();
        let written = match source.next().await {
            Next::Message(message) => encoder.message(call.as_ref(), message).map_err(Some),
            Next::End(end) => Err(end),
        };
        Some(match written {
            Ok(frame) => (Ok::<_, Infallible>(frame), Some((encoder, source))),
            Err(error) => (Ok(encoder.end(call.as_ref(), error.as_ref())), None),
        })
    });
    *response.body_mut() = Body::new(StreamBody::new(frames));
    Ok(response)
}

/// A Connect stream that consists of its end only.
pub(super) fn failure(encoder: &Encoder, call: Option<&RpcContext>, error: &ApiError) -> Response {
    let error = error.to_connect(encoder.with_reasons);
    let end = build_end_stream_frame(Some(&error), Some(&trailers_of(call)));
    encoder.response(call, Body::from(end))
}

impl Encoder {
    fn message(&self, call: Option<&RpcContext>, message: Bytes) -> Result<Frame<Bytes>, ApiError> {
        let message = match call {
            Some(call) => self.transcode(call, message)?,
            None => message,
        };
        let (message, compressed) = self.compress(message)?;
        let flags = if compressed { frame::COMPRESSED } else { 0 };
        let message = frame::wrap(flags, &message);
        Ok(Frame::data(grpc::text(self.wire.protocol, message)))
    }

    fn end(&self, call: Option<&RpcContext>, error: Option<&ApiError>) -> Frame<Bytes> {
        let trailers = trailers_of(call);
        if !self.wire.protocol.is_grpc() {
            let error = error.map(|error| error.to_connect(self.with_reasons));
            return Frame::data(build_end_stream_frame(error.as_ref(), Some(&trailers)).into());
        }
        let trailers = match error {
            None => grpc::success_trailers(trailers),
            Some(error) => grpc::error_trailers(self, error, trailers),
        };
        match self.wire.protocol {
            Protocol::Grpc => Frame::trailers(trailers),
            protocol => Frame::data(grpc::text(protocol, grpc::web_trailers(&trailers))),
        }
    }
}

/// The stream of the router.
struct Source {
    body: Body,
    buffer: Bytes,
    call: Option<RpcContext>,
    /// Read ahead.
    first: Option<Next>,
}

enum Next {
    Message(Bytes),
    /// The end, with an error if it is one.
    End(Option<ApiError>),
}

/// Connect's end-of-stream message.
#[derive(Deserialize)]
struct EndStreamJson {
    error: Option<ErrorJson>,
}

impl Source {
    async fn next(&mut self) -> Next {
        if let Some(first) = self.first.take() {
            return first;
        }
        let next = AssertUnwindSafe(self.in_time()).catch_unwind().await;
        next.unwrap_or_else(|_| Next::End(Some(error::panicked())))
    }

    async fn in_time(&mut self) -> Next {
        let Some(deadline) = self.call.as_ref().map(|call| call.call().deadline) else {
            return self.read().await;
        };
        let next = tokio::time::timeout_at(deadline, self.read()).await;
        next.unwrap_or_else(|_| Next::End(Some(error::deadline_exceeded())))
    }

    async fn read(&mut self) -> Next {
        loop {
            if let Some((flags, message, rest)) = frame::split(&self.buffer) {
                self.buffer = rest;
                return if flags & frame::END_OF_STREAM == 0 {
                    Next::Message(message)
                } else {
                    Next::End(self.error(&message))
                };
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    let more = frame.into_data().unwrap_or_default();
                    // The router sends one message per frame; only partial ones need to be joined.
                    self.buffer = if self.buffer.is_empty() {
                        more
                    } else {
                        [&self.buffer[..], &more].concat().into()
                    };
                }
                Some(Err(_)) | None => return Next::End(Some(unreadable())),
            }
        }
    }

    /// The handler's error, or else one of connectrpc-axum.
    fn error(&self, end: &[u8]) -> Option<ApiError> {
        let kept = self.call.as_ref().and_then(RpcContext::take_error);
        kept.or_else(|| match serde_json::from_slice::<EndStreamJson>(end) {
            Ok(end) => Some(end.error?.into_error()),
            Err(_) => Some(unreadable()),
        })
    }
}
